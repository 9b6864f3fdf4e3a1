"""Worker `ingest`: writes what the sources send to the log. Their processes connect to its hub."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from retaild.api.bus import Bus
from retaild.runtime.context import WorkerContext
from retaild.runtime.ingest_backlog import Backlog
from retaild.runtime.ingest_hub import Hub
from retaild.runtime.stream import Meter

_PULSE = 1.0


def main(context: WorkerContext) -> None:
    """Work until `context.stop`. Raises what the log raises, if it is not for now."""
    bus = context.bus()
    try:
        bus.open()
        figures = Figures(context, Hub(context, bus), bus)
        figures.hub.run(figures.pulse)
        figures.tell()
    finally:
        bus.close()


@dataclass
class Figures:
    """What the worker says of itself: all sources together, and a line for each."""

    context: WorkerContext
    hub: Hub
    bus: Bus
    _meter: Meter = field(default_factory=Meter)
    _told: float = 0.0

    def pulse(self) -> None:
        """Tell them, once a second at most."""
        if time.monotonic() >= self._told + _PULSE:
            self._told = time.monotonic()
            self.tell()

    def tell(self) -> None:
        taken = self.hub.taken
        rows = taken.accepted + taken.dead
        sources = [peer for peer in self.hub.peers if peer.instance]
        self.context.heartbeat(
            rows=rows,
            rows_per_second=round(self._meter.count(rows), 1),
            dead_letters=taken.dead,
            sources=len(sources),
            # A look into the lake: while nothing came, nothing of ours waits for it.
            lag_rows=Backlog(self.bus, self.context.lake(), 0).rows() if rows else 0,
            **{f"source.{peer.instance}": peer.doing for peer in sources},
        )
