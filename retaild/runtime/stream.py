"""Worker `stream`: carries the log into the lake, a micro-batch after the other."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from retaild.api.bus import Bus
from retaild.api.errors import TransientError
from retaild.api.stream import StreamProcessor, StreamProgress
from retaild.runtime.alerts import raise_alert
from retaild.runtime.backoff import Backoff
from retaild.runtime.context import WorkerContext
from retaild.runtime.mending import mend_lake

_log = logging.getLogger(__name__)

#: While it waits, the worker gives a sign of life and looks for a stop as often (seconds).
_PULSE = 1.0
#: Without a backlog the lake shall take but a tenth of the time: it pauses so many times as long as
#: the step took. A commit costs more the more versions a table's log holds.
_REST = 9.0
#: So many waiting rows end a pause: an import is under way.
_BULK = 5_000
#: How often a pause looks for them (seconds); a look at the log's end costs microseconds.
_LOOK = 0.05
#: Rows per second are measured over so many seconds.
_SPAN = 5.0


def main(context: WorkerContext) -> None:
    """Work until `context.stop`; a step that failed for now is tried again with back-off."""
    bus = context.bus()
    processor: StreamProcessor = context.build("stream", "stream")
    worker = StreamWorker(context, bus, processor)
    try:
        worker.run()
    finally:
        processor.close()
        bus.close()


@dataclass
class StreamWorker:
    context: WorkerContext
    bus: Bus
    processor: StreamProcessor
    _backoff: Backoff = field(default_factory=Backoff)
    _meter: Meter = field(default_factory=lambda: Meter())
    _duplicates: int = 0
    _bus_is_open: bool = False

    def run(self) -> None:
        if self._persistently(self._open) is None:
            return
        interval = self.context.settings.lake.interval_seconds
        while not self.context.stop.is_set():
            began = time.monotonic()
            before = self._meter.rows
            progress = self._persistently(self.processor.step)
            if progress is None:
                return
            waiting = self._tell(progress)
            moved = progress.rows > before or progress.written or progress.duplicates
            if not (waiting and moved):
                took = time.monotonic() - began
                # A large step took its time for its rows, not for its commits.
                rest = _REST * took if progress.rows - before < _BULK else 0.0
                self._pause(max(interval - took, rest), progress.rows)

    def _open(self) -> StreamProgress:
        if not self._bus_is_open:
            self.bus.open()
            self._bus_is_open = True
        hours = self.context.settings.lake.log_hours
        for text in mend_lake(self.context.lake(), self.bus, hours):
            with suppress(sqlite3.Error):  # a full disk; the log has it
                raise_alert(self.context.state, "lake.mended", "warning", text, source="stream")
        progress = self.processor.open(self.bus)
        self._meter.rows = progress.rows
        _log.info("the lake has the log up to entry %d (%d rows)", progress.offset, progress.rows)
        self._tell(progress)
        with suppress(sqlite3.Error):
            # That it is open, now: the first step may hold up every thread of this process.
            context = self.context
            context.heart.flush(lambda figures: context.state.beat(context.name, figures))
        return progress

    def _persistently(self, work: Callable[[], StreamProgress]) -> StreamProgress | None:
        """What `work` returns, however often it fails for now; None when it is time to stop."""
        while not self.context.stop.is_set():
            began = time.monotonic()
            try:
                return work()
            except TransientError as error:
                pause = self._backoff.pause(time.monotonic() - began)
                _log.warning("%s Next try in %.2g s.", error, pause)
                with suppress(sqlite3.Error):  # the disk may be what is full
                    self.context.state.save_worker(self.context.name, last_error=str(error))
                self._pause(pause)
        return None

    def _tell(self, progress: StreamProgress) -> int:
        """The figures, for the heartbeat; rows that still wait in the log."""
        self._duplicates += progress.duplicates
        rate = self._meter.count(progress.rows)
        waiting = max(0, self.bus.end().rows - progress.rows)
        self.context.heartbeat(
            lag_rows=waiting,
            rows_per_second=round(rate, 1),
            offset=progress.offset,
            rows=progress.rows,
            duplicates=self._duplicates,
        )
        return waiting

    def _pause(self, seconds: float, carried: int | None = None) -> None:
        """Wait, alive; a stop ends it, or a rush of rows behind the `carried` ones."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.context.heartbeat()
            if self.context.stop.wait(min(left, _PULSE if carried is None else _LOOK)):
                return
            if carried is not None and self.bus.end().rows - carried >= _BULK:
                return


@dataclass
class Meter:
    """Rows per second over the last seconds."""

    rows: int = 0
    _samples: list[tuple[float, int]] = field(default_factory=list)

    def count(self, rows: int) -> float:
        """Rows so far -> the rate now."""
        now = time.monotonic()
        self.rows = rows
        self._samples.append((now, rows))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _SPAN:
            self._samples.pop(0)
        first, before = self._samples[0]
        return (rows - before) / (now - first) if now > first else 0.0
