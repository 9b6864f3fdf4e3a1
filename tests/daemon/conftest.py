"""A daemon in a process of its own, as systemd would start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime.control import request

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `condition`; fails after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


@dataclass
class Running:
    """A started daemon and how to talk to it."""

    process: subprocess.Popen[bytes]
    data: DataDir
    config: Path
    output: Path
    environment: dict[str, str] = field(default_factory=dict)

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        return request(self.data, command, **fields)

    def status(self) -> dict[str, Any] | None:
        try:
            return self.ask("status")
        except RetaildError:
            assert self.process.poll() is None, self.output.read_text()
            return None

    def worker(self, name: str) -> dict[str, Any]:
        status = self.status() or {"workers": []}
        return next((row for row in status["workers"] if row["name"] == name), {})

    def wait_running(self, *names: str) -> None:
        for name in names:
            wait_for(lambda name=name: self.worker(name).get("state") == "running")

    def notes(self, name: str = "notes") -> list[str]:
        path = self.data.root / name
        return path.read_text().splitlines() if path.exists() else []

    def wait_run(self, run_id: int) -> dict[str, Any]:
        from retaild.runtime.state import State

        state = State(self.data.state_db)

        def finished() -> dict[str, Any] | None:
            run = state.run(run_id)
            return run if run and run["state"] not in ("queued", "running") else None

        return wait_for(finished)  # type: ignore[no-any-return]


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, unused_port: int) -> Iterator[Start]:
    """Start a daemon with dummy workers: start("alpha=steady", config="...")."""
    running: list[Running] = []

    def begin(*workers: str, config: str = "", hung: int = 60, **environment: str) -> Running:
        path = tmp_path / "retaild.toml"
        if not path.exists():
            host = f"[retaild]\nhung_seconds = {hung}\n[api]\nport = {unused_port}\n"
            path.write_text(host + config)
        output = tmp_path / "output"
        path_entries = [str(ROOT), str(ROOT / "plugins"), str(HERE)]
        with output.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "run_daemon.py"), str(path), *workers],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path_entries), **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        started = Running(process, DataDir(tmp_path / "retaild-data"), path, output, environment)
        running.append(started)
        return started

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            try:
                one.process.wait(15)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()


@pytest.fixture
def unused_port() -> int:
    """Of the daemon's own pages."""
    return _free_port()


@pytest.fixture
def port() -> int:
    """Of a service."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
