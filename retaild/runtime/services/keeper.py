"""Keeps the servers of one service: starts them in order, watches, stops them in reverse.

It is the part of a service's process that knows processes; what the servers are and whether they
answer is the plugin's.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from retaild.api.errors import RetaildError, TransientError
from retaild.api.service import Endpoint, Figures, Server, Service
from retaild.runtime.ports import holder
from retaild.runtime.services.children import Children
from retaild.runtime.services.supervision import Running, Supervision

_log = logging.getLogger(__name__)

#: Seconds between two looks at the servers, and between two probes of one that works.
LOOK = 0.2
PROBE = 5.0
#: One that works may fail to answer for so long before it is started again.
SILENT_SECONDS = 60.0
#: A server that may be started again alone: so often within so many seconds.
ALONE, ALONE_SECONDS = 5, 300.0
#: One that was found running answers within so many seconds, or is started anew.
FOUND_SECONDS = 20.0


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
class _Kept:
    server: Server
    process: Running
    starts: list[float] = field(default_factory=list)


class Keeper:
    """`start`, then `watch` again and again, then `stop`, also after a failure."""

    def __init__(
        self,
        service: Service,
        clock: Callable[[], float] = time.monotonic,
        supervision: Supervision | None = None,
    ) -> None:
        self._service = service
        self._clock = clock
        self._supervision = supervision or Children()
        self._running: list[_Kept] = []
        self._answered = clock()
        self._probed = 0.0

    def start(self, stopped: Callable[[], bool] = lambda: False) -> Figures:
        """Open the service, start its servers, wait until it answers; its figures.

        Servers that an earlier keeper left running are gone on with, not started.
        Raises PortTakenError, ServerEndedError, and what the service's `open` raises. Returns
        nothing when `stopped` says so before it answers.
        """
        self._service.open()
        servers = self._service.servers()
        found = self._adopt(servers)
        if not found:
            self._check_free(servers)
        self._start_missing(servers)
        given_up = self._clock() + FOUND_SECONDS
        said = ""
        while not stopped():
            self._look()
            try:
                figures = self._service.probe()
            except TransientError as error:
                if str(error) != said:
                    said = str(error)
                    _log.info("not yet: %s", said)
                if found and self._clock() > given_up:
                    _log.warning("what was found running does not answer: it is started anew")
                    found = False
                    self._stop_all()
                    self._check_free(servers)
                    self._start_missing(servers)
                time.sleep(LOOK)
            else:
                self._answered = self._probed = self._clock()
                return figures
        return {}

    def _adopt(self, servers: Sequence[Server]) -> bool:
        """Whether any was running already."""
        for server in servers:
            running = self._supervision.adopt(server)
            if running is not None:
                _log.info("%s runs already, as process %d", server.name, running.pid)
                self._running.append(_Kept(server, running, [self._clock()]))
        return bool(self._running)

    def _check_free(self, servers: Sequence[Server]) -> None:
        for endpoint in self._service.endpoints() if servers else ():
            check_free(endpoint)

    def _start_missing(self, servers: Sequence[Server]) -> None:
        found = {kept.server.name: kept for kept in self._running}
        self._running.clear()
        for server in servers:
            kept = found.get(server.name)
            if kept is None:
                _log.info("starting %s", server.name)
                kept = _Kept(server, self._supervision.start(server), [self._clock()])
            self._running.append(kept)

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

    def _again(self, running: _Kept, code: int) -> None:
        """Start it again alone, if it may be and has not ended too often."""
        now = self._clock()
        running.starts = [at for at in running.starts if now - at < ALONE_SECONDS]
        if not running.server.alone or len(running.starts) > ALONE:
            raise ServerEndedError(running.server.name, code)
        _log.warning("%s; it is started again", ServerEndedError(running.server.name, code).message)
        running.starts.append(now)
        running.process = self._supervision.start(running.server)

    def stop(self) -> None:
        """In reverse order, each with its own patience; then close the service."""
        self._stop_all()
        self._service.close()

    def _stop_all(self) -> None:
        while self._running:
            kept = self._running.pop()
            server = kept.server
            if kept.process.poll() is None:
                _log.info("stopping %s", server.name)
            if kept.process.stop(server.stop_seconds):
                _log.warning("%s did not stop in %g s: killed", server.name, server.stop_seconds)

    @property
    def pids(self) -> dict[str, int]:
        return {running.server.name: running.process.pid for running in self._running}


def check_free(endpoint: Endpoint) -> None:
    """Raises PortTakenError, which names who listens there if that can be told."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((endpoint.host, endpoint.port))
        except OSError:
            raise PortTakenError(endpoint, holder(endpoint.port)) from None
