"""How many rows wait in the log for the lake: what a source waits for, so that none piles up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from retaild.api.bus import Bus
from retaild.api.errors import TransientError
from retaild.api.lake import Lake
from retaild.pipeline.streams import PROGRESS_TABLE, STREAM_APP

#: Pause between two looks at the lake, in seconds.
_LOOK = 0.25


class BacklogError(TransientError):
    key = "ingest.backlog"

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(
            f"{waiting:,} rows wait in the log, and the lake has taken none for {seconds:.0f} s.",
            hint="Start retaild (or see `retaildctl status` for its stream worker); the import "
            "goes on where it stopped.",
        )


class Backlog:
    """Compares the log's end with the lake's progress. `limit`: rows that may wait."""

    def __init__(self, bus: Bus, lake: Lake, limit: int) -> None:
        self._bus, self._lake, self._limit = bus, lake, limit
        self._in_lake = 0

    def rows(self) -> int:
        """Rows in the log that are not in the lake yet."""
        end = self._bus.end()
        offset = self._lake.committed(PROGRESS_TABLE, STREAM_APP) or 0
        following = self._bus.read(offset, 1) if offset < end.offset else []
        self._in_lake = following[0].rows_before if following else end.rows
        return max(0, end.rows - self._in_lake)

    def over(self) -> bool:
        """Whether too many rows wait; looks at the lake only if that is possible at all."""
        return self._bus.end().rows - self._in_lake > self._limit and self.rows() > self._limit

    def wait(
        self,
        stop: threading.Event,
        alive: Callable[[], None] = lambda: None,
        patience: float | None = None,
    ) -> None:
        """Return when there is room, or `stop` is set. Calls `alive` while it waits.

        Raises BacklogError after `patience` seconds in which the lake took nothing.
        """
        since, before = time.monotonic(), -1
        while self.over() and not stop.is_set():
            alive()
            if self._in_lake != before:
                since, before = time.monotonic(), self._in_lake
            elif patience is not None and time.monotonic() - since > patience:
                raise BacklogError(self.rows(), patience)
            stop.wait(_LOOK)
