"""Figures of the serve worker: for its heartbeat, for the pages, and to know when to refuse."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from retaild.api.bus import Bus
from retaild.runtime.context import Context, WorkerContext
from retaild.runtime.serving.background import Background
from retaild.runtime.serving.engine import Engine

if TYPE_CHECKING:
    from retaild.runtime.serving.door import Door

_log = logging.getLogger(__name__)
SECONDS = 1.0
#: Samples of the whole shop are kept for the charts: one each two seconds, for ten minutes.
SAMPLES = 300


class Vitals:
    """`keep` runs beside the answering. `backlog` is as of the last second."""

    def __init__(self, context: Context, engine: Engine, background: Background, bus: Bus) -> None:
        self.doors: dict[str, Door] = {}
        self.samples: deque[dict[str, float]] = deque(maxlen=SAMPLES)
        self._context = context
        self._engine = engine
        self._background = background
        self._bus = bus
        self._lake_rows: float | None = None

    def backlog(self) -> int:
        """Rows of the log that are not in the lake; 0 before the stream worker said anything."""
        if self._lake_rows is None:
            return 0
        return max(0, self._bus.end().rows - int(self._lake_rows))

    def figures(self) -> dict[str, float | str]:
        """For the heartbeat."""
        progress, engine = self._background.progress, self._engine
        return {
            "ready": "yes" if progress.ready else progress.reason,
            "requests": engine.pace.requests,
            "events": sum(door.totals.accepted for door in self.doors.values()),
            "customers": len(engine.facts.customers),
            "products": len(engine.index),
            "answers_ready": len(engine.answers),
            "model_version": engine.version or 0,
            "lag_entries": progress.lag_rows,
            "backlog_rows": self.backlog(),
            "base_offset": progress.base_offset,
            "personal_seconds": round(progress.personal_seconds or -1.0, 3),
            "error": "; ".join(progress.errors.values()),
        }

    async def keep(self) -> None:
        before = self._counts()
        while True:
            await asyncio.sleep(SECONDS)
            if isinstance(self._context, WorkerContext):
                self._context.heartbeat(**self.figures())
            try:
                await asyncio.to_thread(self._exchange)
            except Exception:  # a busy database only delays what people see
                _log.exception("the server's figures")
            now = self._counts()
            if now[0] - before[0] >= 2 * SECONDS:
                self._sample(before, now)
                before = now

    def _counts(self) -> tuple[float, float, float]:
        return time.monotonic(), float(self._bus.end().rows), float(self._engine.pace.requests)

    def _sample(self, before: tuple[float, ...], now: tuple[float, ...]) -> None:
        seconds = now[0] - before[0]
        self.samples.append(
            {
                "at": time.time(),
                "events": round((now[1] - before[1]) / seconds, 2),
                "lag": float(self.backlog()),
                "requests": round((now[2] - before[2]) / seconds, 2),
            }
        )

    def _exchange(self) -> None:
        """In a thread: read how far the lake is, write the doors' totals."""
        state = self._context.state
        for row in state.workers():
            figures: dict[str, Any] = row["figures"] or {}
            if row["kind"] == "stream" or row["name"] == "stream":
                self._lake_rows = figures.get("rows", self._lake_rows)
        for name, door in self.doors.items():
            accepted, dead, cards = door.totals.take()
            if accepted or dead:
                state.count_source(name, accepted=accepted, dead=dead, refused_cards=cards)
