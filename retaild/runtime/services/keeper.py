"""Keeps the servers of one service: starts them in order, watches, stops them in reverse.

It is the part of a service's process that knows processes; what the servers are and whether they
answer is the plugin's.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from retaild.api.errors import RetaildError, TransientError
from retaild.api.service import Endpoint, Figures, Server, Service
from retaild.runtime.ports import holder

_log = logging.getLogger(__name__)

#: Seconds between two looks at the servers, and between two probes of one that works.
LOOK = 0.2
PROBE = 5.0
#: One that works may fail to answer for so long before it is started again.
SILENT_SECONDS = 60.0
#: A server that may be started again alone: so often within so many seconds.
ALONE, ALONE_SECONDS = 5, 300.0


class PortTakenError(TransientError):
    key = "service.port_taken"

    def __init__(self, endpoint: Endpoint, by: str) -> None:
        super().__init__(
            f"Port {endpoint.port} ({endpoint.name}) on {endpoint.host} is taken"
            f"{f': {by} listens there' if by else ''}.",
            hint="Stop what has it, or configure another port.",
        )


class ServerEndedError(RetaildError):
    key = "service.ended"

    def __init__(self, server: str, code: int) -> None:
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        super().__init__(f"The server {server} ended ({how}).", hint="Its log says more.")


class SilentError(RetaildError):
    key = "service.silent"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"It has not answered for {SILENT_SECONDS:g} s: {reason}", hint="Its log says more."
        )


@dataclass
class _Running:
    server: Server
    process: subprocess.Popen[bytes]
    starts: list[float] = field(default_factory=list)


class Keeper:
    """`start`, then `watch` again and again, then `stop`, also after a failure."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._running: list[_Running] = []
        self._answered = clock()
        self._probed = 0.0

    def start(self, stopped: Callable[[], bool] = lambda: False) -> Figures:
        """Open the service, start its servers, wait until it answers; its figures.

        Raises PortTakenError, ServerEndedError, and what the service's `open` raises. Returns
        nothing when `stopped` says so before it answers.
        """
        self._service.open()
        servers = self._service.servers()
        if servers:
            for endpoint in self._service.endpoints():
                check_free(endpoint)
        for server in servers:
            _log.info("starting %s", server.name)
            self._running.append(_Running(server, spawn(server), [self._clock()]))
        said = ""
        while not stopped():
            self._look()
            try:
                figures = self._service.probe()
            except TransientError as error:
                if str(error) != said:
                    said = str(error)
                    _log.info("not yet: %s", said)
                time.sleep(LOOK)
            else:
                self._answered = self._probed = self._clock()
                return figures
        return {}

    def watch(self) -> Figures | None:
        """Look at the servers; every few seconds its figures, else None.

        Raises ServerEndedError, SilentError.
        """
        self._look()
        return self.watch_now() if self._clock() - self._probed >= PROBE else None

    def watch_now(self) -> Figures:
        """Ask it now; its figures with `answers` ("yes", or "no" and why). Raises SilentError."""
        self._probed = self._clock()
        try:
            figures = self._service.probe()
        except TransientError as error:
            _log.warning("%s", error)
            if self._clock() - self._answered > SILENT_SECONDS:
                raise SilentError(str(error)) from error
            return {"answers": f"no: {error.message}"}
        self._answered = self._clock()
        return {"answers": "yes", **figures}

    def _look(self) -> None:
        for running in self._running:
            code = running.process.poll()
            if code is not None:
                self._again(running, code)

    def _again(self, running: _Running, code: int) -> None:
        """Start it again alone, if it may be and has not ended too often."""
        now = self._clock()
        running.starts = [at for at in running.starts if now - at < ALONE_SECONDS]
        if not running.server.alone or len(running.starts) > ALONE:
            raise ServerEndedError(running.server.name, code)
        _log.warning("%s; it is started again", ServerEndedError(running.server.name, code).message)
        running.starts.append(now)
        running.process = spawn(running.server)

    def stop(self) -> None:
        """In reverse order, each with its own patience; then close the service."""
        while self._running:
            running = self._running.pop()
            _stop(running.process, running.server)
        self._service.close()

    @property
    def pids(self) -> dict[str, int]:
        return {running.server.name: running.process.pid for running in self._running}


def spawn(server: Server) -> subprocess.Popen[bytes]:
    """Start it with our log as its own. It is killed when this process is."""
    # A shell's wrapper would be killed and leave the server: util-linux's asks for it in place.
    lifeline = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
    return subprocess.Popen(
        (*lifeline, *server.command), env={**os.environ, **server.environment},
        cwd=server.directory, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _stop(process: subprocess.Popen[bytes], server: Server) -> None:
    if process.poll() is None:
        _log.info("stopping %s", server.name)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(server.stop_seconds)
        except subprocess.TimeoutExpired:
            _log.warning("%s did not stop in %g s: killed", server.name, server.stop_seconds)
            process.kill()
            process.wait()


def check_free(endpoint: Endpoint) -> None:
    """Raises PortTakenError, which names who listens there if that can be told."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((endpoint.host, endpoint.port))
        except OSError:
            raise PortTakenError(endpoint, holder(endpoint.port)) from None
