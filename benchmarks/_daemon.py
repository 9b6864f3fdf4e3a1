"""The real daemon with its real workers on an empty data directory, for benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime.control import request

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60.0


@contextmanager
def running_daemon(
    folder: Path, extra: str = "", site: str = ""
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Start it in `folder`, wait until every worker runs; its configuration and environment.

    `site`: further directories with plugins, as PYTHONPATH writes them.
    """
    config = folder / "retaild.toml"
    config.write_text(f"[api]\nport = {_free_port()}\n{extra}")
    parts = [str(ROOT), str(ROOT / "plugins"), site, os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, parts))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "retaild.daemon", "--config", str(config)]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        _wait_ready(folder, process)
        yield config, environment
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_ready(folder: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        workers = status(folder / "retaild-data").get("workers", [])
        if workers and all(row["state"] == "running" for row in workers):
            return
        time.sleep(0.02)
    raise SystemExit((folder / "output").read_text())


def status(data: Path) -> dict[str, Any]:
    """The daemon's answer; empty while it does not answer yet."""
    try:
        return request(DataDir(data), "status")
    except RetaildError:
        return {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
