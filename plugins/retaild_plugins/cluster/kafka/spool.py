"""What was accepted while the broker was away, until it has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from retaild.api import Entry, LogEnd, LogEntry
from retaild.api.bus import TrimmedError
from retaild.pipeline.filelog import End, EndMarker, FileLog
from retaild_plugins.cluster.kafka.errors import SpoolFullError

SEGMENT_BYTES = 16 * 1024 * 1024
#: The mark's file.
SENT = "sent"


class Spool:
    """A file log and a mark up to where it was sent. Writers hold the bus's lock."""

    def __init__(self, directory: Path, max_mib: int) -> None:
        self._directory = directory
        self._max_mib = max_mib
        self._log = FileLog(directory, segment_bytes=SEGMENT_BYTES)
        self._sent: EndMarker | None = None

    def open(self) -> None:
        self._log.open()
        self._sent = EndMarker(self._directory / SENT)

    def close(self) -> None:
        self._log.close()
        if self._sent is not None:
            self._sent.close()
            self._sent = None

    def waiting(self) -> LogEnd:
        """Entries and rows that the broker has not got yet."""
        end, sent = self._log.end(), self._mark()
        return LogEnd(max(0, end.offset - sent.offset), max(0, end.rows - sent.rows))

    def _mark(self) -> End:
        assert self._sent is not None, "the spool is not open"
        # A mark that a power cut took: some entries are sent twice, and their ids tell.
        return self._sent.read() or End(0, 0, 0, 0)

    def put(self, entries: Sequence[Entry]) -> None:
        """Survives a power cut once it returns. Raises SpoolFullError, LogFullError."""
        if self._bytes() > self._max_mib * 1024 * 1024:
            raise SpoolFullError(self._max_mib)
        self._log.append(entries)

    def _bytes(self) -> int:
        return sum(path.stat().st_size for path in self._directory.glob("*.log"))

    def first(self, max_rows: int) -> list[LogEntry]:
        """The oldest that wait."""
        offset = self._mark().offset
        try:
            return self._log.read(offset, max_rows)
        except TrimmedError as error:
            return self._log.read(error.first, max_rows)

    def all_waiting(self) -> Iterator[list[Entry]]:
        """All that wait, oldest first, in parts."""
        offset, end = self._mark().offset, self._log.end().offset
        while offset < end:
            try:
                entries = self._log.read(offset)
            except TrimmedError as error:
                offset = error.first
                continue
            yield [entry.entry for entry in entries]
            offset = entries[-1].offset + 1

    def skip(self, count: LogEnd) -> None:
        """The broker has the spool's first `count` entries and rows, from before."""
        assert self._sent is not None
        if self._mark().offset < count.offset:
            self._sent.publish(End(count.offset, count.rows, 0, 0))
            self._log.trim(count.offset)

    def sent(self, upto: LogEntry) -> None:
        """The broker has confirmed `upto` and all before it."""
        assert self._sent is not None
        end = upto.offset + 1
        self._sent.publish(End(end, upto.rows_before + upto.entry.rows, 0, 0))
        self._log.trim(end)
