"""Every managed service as it runs: who can connect to it, and who can read its password.

The suite that each service passes looks at what its plugin says; here the kernel is asked, about
all processes that the servers start, from the first moment of their start to the last.
"""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from retaild.api import BuildContext, ServiceSpec, Software
from retaild.api.service import Debian, password_file
from retaild.host.registry import PluginRegistry
from retaild.runtime.isolation.family import Table
from retaild.testing.service import family_of, running, with_free_ports

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
#: Services that make a password; the agent of `flume` is told that of `kafka`.
OWN_PASSWORD = {"kafka", "redis", "elasticsearch", "nifi"}
#: Service -> a program beside Java and Maven without which its software cannot be had.
PROGRAM = {"redis": "redis-server", "hive": "javac"}


class Words:
    """What every process below this one was started with, looked at all the time."""

    def __init__(self) -> None:
        #: Command lines and environments that were seen.
        self.seen: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Words:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        own = psutil.Process().pid
        while not self._ended.wait(0.02):
            for process in Table().members(own):
                # This process itself may have what it likes: it is not a service's.
                if process.pid != own:
                    self.seen |= set(_words(process.pid))

    def with_it(self, secret: str) -> list[bytes]:
        return [words for words in self.seen if secret.encode() in words]


def _words(pid: int) -> Iterator[bytes]:
    for name in ("cmdline", "environ"):
        try:
            yield Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:  # it has ended
            continue


def reachable(pids: Iterable[int]) -> set[str]:
    """Addresses at which the processes listen, or take datagrams from anyone."""
    family = set(pids)
    return {
        str(one.laddr.ip)
        for one in psutil.net_connections("inet")
        if one.pid in family
        and (one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr))
    }


def readable_by_others(root: Path, secret: str) -> list[Path]:
    """Files below it that hold the secret and that others could read."""
    return [path for path in _open_files(root) if secret.encode() in path.read_bytes()]


def _open_files(directory: Path) -> Iterator[Path]:
    """Regular files that group or others may read; no folder that they may not enter hides them."""
    for path in directory.iterdir():
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and mode & 0o011:
            yield from _open_files(path)
        elif stat.S_ISREG(mode) and mode & 0o044:
            yield path


# -- the services ----------------------------------------------------------------------------------


@pytest.fixture
def at_hand(software_dir: Path, installed: Callable[[Software], Path]) -> Callable[..., Any]:
    """Plugin name -> its spec with the software there; skips where that cannot be had."""

    def find(name: str) -> ServiceSpec:
        program = PROGRAM.get(name, "java")
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}, which {name} needs")
        spec = PluginRegistry.load().spec("service", name)
        assert isinstance(spec, ServiceSpec)
        for software in spec.software:
            if not all(isinstance(step, Debian) for step in software.steps):
                installed(software)
        return spec

    return find


@pytest.mark.parametrize(
    "name", ["kafka", "redis", "elasticsearch", "spark", "flink", "hive", "nifi"]
)
def test_a_service_is_private(
    name: str, at_hand: Callable[..., Any], context_of: Callable[..., BuildContext],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    check(at_hand(name), context_of(name), capfd)


def test_the_agent_is_private_and_so_is_the_brokers_password(
    at_hand: Callable[..., Any], context_of: Callable[..., BuildContext], tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    spec, agent = at_hand("kafka"), at_hand("flume")
    config = with_free_ports(spec)
    with running(spec, config, context_of("kafka")):
        settings = {
            "bootstrap_servers": f"127.0.0.1:{config.port}", "topic": "tills",
            "folders": (tmp_path / "incoming",),
        }  # fmt: skip
        check(agent, context_of("flume"), capfd, settings, password_of="kafka")


def check(
    spec: ServiceSpec, context: BuildContext, capfd: pytest.CaptureFixture[str],
    settings: dict[str, object] | None = None, password_of: str = "",
) -> None:  # fmt: skip
    config = with_free_ports(spec, **(settings or {}))
    with Words() as words, running(spec, config, context) as keeper:
        pids = family_of(keeper)
        addresses = reachable(pids)
        lines = {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
        assert keeper.watch_now()["answers"] == "yes"
    # Flume's agent listens nowhere; who listens must be found.
    assert bool(addresses) == (spec.name != "flume")
    assert addresses <= LOOPBACK
    assert lines <= words.seen
    secret = password_file(context.services_dir / (password_of or spec.name))
    assert secret.exists() == (spec.name in OWN_PASSWORD or bool(password_of))
    if secret.exists():
        password = secret.read_text("utf-8").strip()
        assert len(password) >= 20
        assert words.with_it(password) == []
        assert readable_by_others(context.services_dir, password) == []
        assert password not in "".join(capfd.readouterr())


# -- that these looks see what they are there for -----------------------------------------------


@contextmanager
def careless(*words: str, environment: dict[str, str] | None = None) -> Iterator[int]:
    """A server that listens on every address; its pid."""
    program = (
        "import socket, sys; s = socket.create_server(('', 0)); print(1, flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], env=environment, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def test_who_listens_on_every_address_is_seen() -> None:
    with careless() as pid:
        assert reachable([pid]) == {"0.0.0.0"}


@pytest.mark.parametrize(
    ("words", "environment"), [(("--password=s3cr3t",), {}), ((), {"PASSWORD": "s3cr3t"})]
)
def test_a_password_on_a_command_line_or_in_an_environment_is_seen(
    words: tuple[str, ...], environment: dict[str, str]
) -> None:
    with Words() as seen, careless(*words, environment=environment):
        time.sleep(0.2)
    assert seen.with_it("s3cr3t")
    assert not seen.with_it("an0ther")


def test_a_file_with_the_password_that_others_may_read_is_seen(tmp_path: Path) -> None:
    for folder, of_folder, name, of_file in (
        ("open", 0o755, "open", 0o644),
        ("open", 0o755, "private", 0o600),
        ("private", 0o700, "open", 0o644),
    ):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("user:s3cr3t\n")
        path.chmod(of_file)
        path.parent.chmod(of_folder)
    assert readable_by_others(tmp_path, "s3cr3t") == [tmp_path / "open/open"]
