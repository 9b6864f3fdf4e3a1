"""A keeper starts servers in order, sees what becomes of them, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from retaild.api import Endpoint, Server, TransientError
from retaild.api.service import Figures
from retaild.runtime.services.keeper import Keeper, PortTakenError, ServerEndedError, SilentError
from retaild.testing.service import free_ports

#: A server that says in a file that it starts and ends.
_SERVER = """
import signal, sys
from http.server import HTTPServer, SimpleHTTPRequestHandler as Handler
name, port, notes = sys.argv[1:]
def note(what):
    with open(notes, "a") as file: file.write(f"{what} {name}\\n")
def end(*_):
    note("ends"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("starts")
HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


@dataclass
class Shelf:
    """A service of two small web servers."""

    notes: Path
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    alone: bool = False
    answers: bool = True
    closed: int = 0
    stop_seconds: float = 15.0

    def open(self) -> None:
        self.notes.touch()

    def servers(self) -> Sequence[Server]:
        return [
            Server(
                name, (sys.executable, "-c", _SERVER, name, str(port), str(self.notes)),
                directory=self.notes.parent, alone=self.alone, stop_seconds=self.stop_seconds,
            )
            for name, port in zip(("first", "second"), self.ports, strict=True)
        ]  # fmt: skip

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("web", port) for port in self.ports]

    def probe(self) -> Figures:
        if not self.answers:
            raise TransientError("It does not answer.")
        for port in self.ports:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
            except OSError as error:
                raise TransientError(str(error)) from error
        return {"servers": 2}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "notes")


@pytest.fixture
def keeper(shelf: Shelf) -> Iterator[Keeper]:
    made = Keeper(shelf)
    yield made
    made.stop()


def _gone(pid: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


def _watch(keeper: Keeper, seconds: float, killing: str = "") -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if killing:
            os.kill(keeper.pids[killing], signal.SIGKILL)
        time.sleep(0.01)
        keeper.watch()


def test_servers_end_in_the_reverse_order_of_their_start(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    assert keeper.start() == {"servers": 2}
    pids = keeper.pids
    keeper.stop()
    words = shelf.notes.read_text().split()
    assert sorted(words[1:4:2]) == ["first", "second"]
    assert words[4:] == ["ends", "second", "ends", "first"]
    assert all(_gone(pid) for pid in pids.values())
    assert shelf.closed == 1


def test_a_server_that_dies_ends_the_service_with_its_name(keeper: Keeper) -> None:
    keeper.start()
    os.kill(keeper.pids["second"], signal.SIGKILL)
    with pytest.raises(ServerEndedError, match=r"second ended \(killed by signal 9\)"):
        _watch(keeper, 20)


def test_one_that_may_is_started_again_alone(keeper: Keeper, shelf: Shelf) -> None:
    shelf.alone = True
    keeper.start()
    before = keeper.pids
    os.kill(before["second"], signal.SIGKILL)
    until = time.monotonic() + 20
    while keeper.pids["second"] == before["second"] and time.monotonic() < until:
        keeper.watch()
    assert keeper.pids["first"] == before["first"]
    assert keeper.pids["second"] != before["second"]


def test_one_that_dies_again_and_again_is_given_up(keeper: Keeper, shelf: Shelf) -> None:
    shelf.alone = True
    keeper.start()
    with pytest.raises(ServerEndedError):
        _watch(keeper, 20, killing="second")


def test_a_port_that_is_taken_is_told_with_who_has_it(shelf: Shelf) -> None:
    with socket.create_server(("127.0.0.1", shelf.ports[1])):
        keeper = Keeper(shelf)
        with pytest.raises(PortTakenError, match=rf"Port {shelf.ports[1]} .*Process {os.getpid()}"):
            keeper.start()
        keeper.stop()
    assert shelf.notes.read_text() == ""


def test_one_that_works_may_be_silent_for_a_while_only(shelf: Shelf) -> None:
    now = [0.0]
    keeper = Keeper(shelf, lambda: now[0])
    keeper.start()
    try:
        shelf.answers = False
        now[0] += 6
        told = keeper.watch()
        assert told is not None
        assert str(told["answers"]).startswith("no: It does not answer")
        now[0] += 60
        with pytest.raises(SilentError):
            keeper.watch()
    finally:
        keeper.stop()


def test_servers_die_with_a_keeper_that_is_killed(tmp_path: Path) -> None:
    [port] = free_ports(1)
    script = (
        "import sys, time; from retaild.api import Server;"
        "from retaild.runtime.services.children import Children;"
        "server = Server('web', (sys.executable, '-m', 'http.server', sys.argv[1]));"
        "print(Children().start(server).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(port)], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        server = int(process.stdout.readline())
        process.kill()
    assert _gone(server)
