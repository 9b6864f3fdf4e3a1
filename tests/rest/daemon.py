"""What of the daemon answers the server: its real control socket, without processes behind it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from retaild.config.settings import Settings
from retaild.daemon import standing
from retaild.daemon.server import ControlServer
from retaild.runtime.context import WorkerContext
from retaild.runtime.control import Message, is_running
from retaild.runtime.instances import InstanceStore
from retaild.runtime.supervisor import Supervisor
from tests.rest.serving import ROOT, InThread
from tests.runtime.serving.shops import wait_for


@dataclass
class DaemonThread:
    """`asked`: what it was told, in order. Standing is changed by the daemon's own code."""

    context: WorkerContext
    asked: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def look_again(self, name: str, why: str) -> None:
        """As the supervisor's."""
        self.asked.append({"command": "look-again", "worker": name, "why": why})

    def _note(self, **answer: Any) -> Any:
        def answered(message: Message) -> Message:
            self.asked.append(message)
            return answer

        return answered

    async def _serve(self) -> None:
        store, settings = InstanceStore(self.context.state), self.context.settings
        supervisor = cast("Supervisor", self)

        def in_force() -> Settings:
            return settings

        server = ControlServer(
            self.context.data,
            {
                "ping": lambda _: {"pid": 1},
                "run-job": self._note(run_id=7),
                "restart-worker": self._note(),
                "status": self._note(jobs=[]),
                **{
                    f"{action}-instance": standing.command(action, store, in_force, supervisor)
                    for action in standing.ACTIONS
                },
            },
        )
        await server.start()
        while not self._stop.is_set():
            await asyncio.sleep(0.02)
        await server.stop()

    def __enter__(self) -> DaemonThread:
        self._thread.start()
        wait_for(lambda: is_running(self.context.data))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def back_up(server: InThread) -> Path:
    """A backup into the configured directory, by a process of its own as always.

    In the server's own it would read `state.db` as a file, and closing a file lets go of the locks
    that sqlite holds on it for the whole process.
    """
    settings = server.context.settings
    command = ["-m", "retaild.cli", "-c", str(settings.base_dir / "retaild.toml"), "--data",
               str(server.context.data.root), "backup", "create"]  # fmt: skip
    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    subprocess.run(
        [sys.executable, *command], check=True, timeout=120, capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    return max(Path(settings.backup.directory).iterdir())
