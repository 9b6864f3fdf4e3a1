"""Servers as children of their keeper: they end with it, whatever ends it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from retaild.api.service import Server


@dataclass(frozen=True, slots=True)
class Child:
    """What it prints is in our log as it is printed: it has our own output."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self, seconds: float) -> bool:
        if self.process.poll() is not None:
            return False
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return True
        return False


class Children:
    """None is ever found running: the daemon kills at its start what an earlier one left."""

    def adopt(self, _server: Server) -> Child | None:
        return None

    def start(self, server: Server) -> Child:
        """It is killed when this process is. Raises OSError."""
        # A shell's wrapper would be killed and leave the server: util-linux's asks for it in place.
        lifeline = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        return Child(
            subprocess.Popen(
                (*lifeline, *server.command), env={**os.environ, **server.environment},
                cwd=server.directory, stdin=subprocess.DEVNULL,
            )
        )  # fmt: skip
