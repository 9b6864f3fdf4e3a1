"""Worker `ingest`: writes what the sources send to the log. Their processes connect to its hub."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from retaild.api.bus import Bus
from retaild.runtime.context import WorkerContext
from retaild.runtime.ingest_backlog import Backlog
from retaild.runtime.ingest_hub import Hub
from retaild.runtime.ingest_runner import SourceRunner
from retaild.runtime.stream import Meter

_log = logging.getLogger(__name__)

_PULSE = 1.0
#: Sources run here as long as the daemon does not start processes for them.
_THREADS = False
#: A source that does not end within so many seconds of a stop is left behind: what it read and did
#: not write yet is read again by the next run.
_GRACE = 20.0


def main(context: WorkerContext) -> None:
    """Work until `context.stop`. Raises what ended a source with `startup = "error"`."""
    bus = context.bus()
    try:
        bus.open()
        IngestWorker(context, bus).run()
    finally:
        bus.close()


@dataclass
class IngestWorker:
    context: WorkerContext
    bus: Bus
    _failure: list[Exception] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _told: float = 0.0

    def __post_init__(self) -> None:
        self.hub = Hub(self.context, self.bus)

    def run(self) -> None:
        runners = [
            SourceRunner(self.context, name, instance, self.bus)
            for name, instance in self.context.settings.source.items()
            if _THREADS
        ]
        threads = [
            threading.Thread(target=self._guarded, args=(runner.run,), name=runner.name)
            for runner in runners
        ]
        for thread in threads:
            thread.daemon = True  # a source that hangs must not keep the process
            thread.start()
        self._watch(runners)
        for thread in threads:
            thread.join(_GRACE)
        self._tell(runners, Meter())
        if self._failure:
            raise self._failure[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._failure.append(error)
            self._over.set()
            self.context.stop.set()

    def _watch(self, runners: list[SourceRunner]) -> None:
        meter = Meter()

        def pulse() -> None:
            if time.monotonic() >= self._told + _PULSE:
                self._told = time.monotonic()
                self._tell(runners, meter)

        self.hub.run(pulse)

    def _tell(self, runners: list[SourceRunner], meter: Meter) -> None:
        """The figures of all sources together, and a line for each."""
        parts = [self.hub.taken, *(runner.taken for runner in runners)]
        taken = sum(part.accepted + part.dead for part in parts)
        backlog = Backlog(self.bus, self.context.lake(), 0).rows() if taken else 0
        self.context.heartbeat(
            rows=taken,
            rows_per_second=round(meter.count(taken), 1),
            dead_letters=sum(part.dead for part in parts),
            sources=len(runners) + len(self.hub.peers),
            failing=sum(runner.failing for runner in runners),
            lag_rows=backlog,
            **{f"source.{runner.name}": runner.doing for runner in runners},
            **{f"source.{peer.instance}": peer.doing for peer in self.hub.peers if peer.instance},
        )
