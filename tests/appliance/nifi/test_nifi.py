"""The real NiFi: flows bring files, logs and feeds to a door that behaves like retaild's."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.cluster.nifi.config import NifiConfig
from retaild_plugins.cluster.nifi.plugin import SOFTWARE, retaild_services

from retaild.api import BuildContext, ServiceSpec
from retaild.runtime.services.keeper import Keeper, ServerEndedError
from retaild.testing.service import ServiceConformance, free_ports, running, watch_for_ever


@dataclass
class Door:
    """What was posted, and the status that the next requests get."""

    posts: list[tuple[str, bytes]] = field(default_factory=list)
    status: int = 202
    port: int = 0
    #: Requests that were refused.
    refused: int = 0


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if found.status == 202:
                found.posts.append((self.headers.get("Authorization", ""), body))
            else:
                found.refused += 1
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def spec(installed: Callable[..., object]) -> ServiceSpec:
    installed(SOFTWARE)
    return retaild_services()[0]


@pytest.fixture
def config() -> NifiConfig:
    return NifiConfig(port=free_ports(1)[0])


@pytest.fixture
def context(context_of: Callable[..., BuildContext]) -> BuildContext:
    return context_of("nifi")


class TestNifiService(ServiceConformance):
    pass


def _until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "in vain"
        time.sleep(0.2)


def _flows(tmp_path: Path, door: Door, port: int, **more: object) -> NifiConfig:
    for name in ("dropped", "inbox"):
        (tmp_path / name).mkdir(exist_ok=True)
    return NifiConfig.model_validate(
        {
            "port": port,
            "door": f"http://127.0.0.1:{door.port}",
            "api_key": "k3y",
            "flow": {
                "drop": {
                    "kind": "files",
                    "directory": tmp_path / "dropped",
                    "to": tmp_path / "inbox",
                    "settle_seconds": 0,
                },
                "web": {"kind": "tail", "file": tmp_path / "web.log", **more},
            },
        }
    )


def test_files_and_lines_arrive_and_what_the_door_refuses_for_now_is_tried_again(
    spec: ServiceSpec, context: BuildContext, door: Door, tmp_path: Path
) -> None:
    log = tmp_path / "web.log"
    log.write_text('{"n":1}\n{"n":2}\n')
    [port] = free_ports(1)
    with running(spec, _flows(tmp_path, door, port), context) as keeper:
        (tmp_path / "dropped" / "a.csv").write_text("x;y\n")
        _until(lambda: (tmp_path / "inbox" / "a.csv").exists())
        assert (tmp_path / "inbox" / "a.csv").read_text() == "x;y\n"
        _until(lambda: b"".join(body for _, body in door.posts) == b'{"n":1}\n{"n":2}\n')
        assert {key for key, _ in door.posts} == {"Bearer k3y"}
        door.status = 503
        with log.open("a") as file:
            file.write('{"n":3}\n')
        time.sleep(3)
        door.status = 202
        _until(lambda: any(body == b'{"n":3}\n' for _, body in door.posts))
        assert keeper.watch_now()["answers"] == "yes"
    # Another setting, and a restart in between: the log is read on where it was.
    with log.open("a") as file:
        file.write('{"n":4}\n')
    with running(spec, _flows(tmp_path, door, port, lines=7), context):
        _until(lambda: any(body == b'{"n":4}\n' for _, body in door.posts))
    sent = b"".join(body for _, body in door.posts)
    assert [sent.count(b'{"n":%d}' % n) for n in range(1, 5)] == [1, 1, 1, 1]


def test_what_the_door_refuses_for_good_is_kept_with_its_bytes(
    spec: ServiceSpec, context: BuildContext, door: Door, tmp_path: Path
) -> None:
    door.status = 400
    (tmp_path / "web.log").write_text("no json\n")
    [port] = free_ports(1)
    refused = context.state_dir / "refused" / "web"
    with running(spec, _flows(tmp_path, door, port), context):
        _until(lambda: refused.is_dir() and any(refused.iterdir()))
        # It writes under another name first.
        _until(lambda: any(p.read_bytes() == b"no json\n" for p in refused.glob("[!.]*")))


def _killed(keeper: Keeper) -> None:
    """kill -9, and what the host does about it."""
    os.kill(keeper.pids["nifi"], signal.SIGKILL)
    with pytest.raises(ServerEndedError):
        watch_for_ever(keeper)


def test_what_it_has_taken_survives_kill_9_though_its_origin_is_gone(
    spec: ServiceSpec, context: BuildContext, door: Door, tmp_path: Path
) -> None:
    """The door is shut, the log is gone, NiFi is killed: its own disk is all that is left."""
    door.status = 503
    log = tmp_path / "web.log"
    log.write_text('{"n":1}\n{"n":2}\n')
    config = _flows(tmp_path, door, free_ports(1)[0])
    with running(spec, config, context) as keeper:
        # Without its queues on the disk, NiFi would drop what they held.
        saved = gzip.decompress((context.state_dir / "conf/flow.json.gz").read_bytes()).decode()
        assert "TailFile" in saved
        _until(lambda: float(keeper.watch_now().get("queued", 0)) > 0)
        _until(lambda: door.refused > 0)
        log.unlink()
        assert door.posts == []
        _killed(keeper)
    door.status = 202
    with running(spec, config, context) as keeper:
        _until(lambda: b"".join(body for _, body in door.posts) == b'{"n":1}\n{"n":2}\n')
        # And it goes on as before.
        (tmp_path / "dropped" / "a.csv").write_text("x;y\n")
        _until(lambda: (tmp_path / "inbox" / "a.csv").exists())
        assert keeper.watch_now()["answers"] == "yes"


class Busy(threading.Thread):
    """Appends lines and drops files while it may, until it is ended."""

    def __init__(self, log: Path, folder: Path) -> None:
        super().__init__(daemon=True)
        self._log, self._folder = log, folder
        self._ended = threading.Event()
        #: A machine that does much else starts NiFi slowly; nothing piles up meanwhile.
        self.may = threading.Event()
        self.written = 0

    def run(self) -> None:
        while not self._ended.is_set():
            with self._log.open("a") as file:
                file.write(f'{{"n":{self.written}}}\n')
            part = self._log.with_suffix(".part")
            part.write_text(content(self.written))
            part.replace(self._folder / f"{self.written}.csv")
            self.written += 1
            self._ended.wait(0.05)
            self.may.wait()

    def go_on(self, more: int) -> None:
        wanted = self.written + more
        _until(lambda: self.written >= wanted)

    def end(self) -> int:
        self._ended.set()
        self.may.set()
        self.join()
        return self.written


def content(number: int) -> str:
    return f"{number};line\n" * 2000


def test_killed_in_the_middle_of_busy_flows_it_loses_nothing_and_halves_no_file(
    spec: ServiceSpec, context: BuildContext, door: Door, tmp_path: Path
) -> None:
    log, inbox = tmp_path / "web.log", tmp_path / "inbox"
    config = _flows(tmp_path, door, free_ports(1)[0])
    busy = Busy(log, tmp_path / "dropped")
    busy.start()
    with running(spec, config, context) as keeper:
        busy.may.set()
        _until(_more_of_both(door, inbox))
        _killed(keeper)
        busy.go_on(10)
        busy.may.clear()
    assert len(_lines(door)) < busy.written
    assert len(_files(inbox)) < busy.written
    with running(spec, config, context):
        written = busy.end()
        _until(lambda: len(_files(inbox)) == written)
        _until(lambda: len(_lines(door)) == written)
    assert _lines(door) == {f'{{"n":{n}}}'.encode() for n in range(written)}
    assert _files(inbox) == {f"{n}.csv" for n in range(written)}
    for number in range(written):
        assert (inbox / f"{number}.csv").read_text() == content(number)


def _more_of_both(door: Door, inbox: Path) -> Callable[[], bool]:
    lines, files = len(_lines(door)), len(_files(inbox))
    return lambda: len(_lines(door)) > lines and len(_files(inbox)) > files


def _lines(door: Door) -> set[bytes]:
    return {line for _, body in tuple(door.posts) for line in body.splitlines()}


def _files(inbox: Path) -> set[str]:
    """As a source sees them: what is being written has a dot before its name."""
    return {path.name for path in inbox.iterdir() if not path.name.startswith(".")}
