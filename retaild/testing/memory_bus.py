"""A bus in memory, for tests of what reads it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from retaild.api import Entry, LogEnd, LogEntry


class MemoryBus:
    """A Bus within one process; forgets everything when it goes."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []

    def open(self) -> None: ...

    def append(self, entries: Sequence[Entry]) -> LogEnd:
        for entry in entries:
            end = self.end()
            self.entries.append(LogEntry(end.offset, end.rows, time.time(), entry))
        return self.end()

    def read(self, offset: int, max_rows: int = 65_536) -> list[LogEntry]:
        found: list[LogEntry] = []
        rows = 0
        for entry in self.entries[offset:]:
            if rows >= max_rows:
                break
            found.append(entry)
            rows += entry.entry.rows
        return found

    def end(self) -> LogEnd:
        if not self.entries:
            return LogEnd(0, 0)
        last = self.entries[-1]
        return LogEnd(last.offset + 1, last.rows_before + last.entry.rows)

    def trim(self, offset: int) -> None: ...

    def close(self) -> None: ...
