"""The end marker: where the durable part of the log ends, shared by all processes.

A reader must never act on an entry that a power cut could still take back, or its committed offset
would run ahead of the log. So writers publish the end only after the disk has confirmed it, and
readers see no further. The marker is a small file mapped into memory: asking for the end costs
about a microsecond, so readers can poll it often.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

_RECORD = struct.Struct("<QQQQ")
_SIZE = _RECORD.size + 4


@dataclass(frozen=True, slots=True)
class End:
    """Next offset, rows so far, and the place in the files: segment (its first offset), bytes."""

    offset: int
    rows: int
    segment: int
    position: int


def packed(end: End) -> bytes:
    """The marker file's content."""
    record = _RECORD.pack(end.offset, end.rows, end.segment, end.position)
    return record + zlib.crc32(record).to_bytes(4, "little")


class EndMarker:
    """Readers may call `read` at any time; `publish` only under the log's lock."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(descriptor).st_size < _SIZE:
                # Bytes and not a hole: a page that a full disk cannot give would kill the process.
                os.pwrite(descriptor, bytes(_SIZE), 0)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    def read(self) -> End | None:
        """The published end; None if there is no sound one (a new log, or a lost page)."""
        # Another process may be writing these bytes right now: the checksum tells, and soon it
        # has finished, unless it was killed in the middle.
        for _ in range(200):
            raw = self._map[:_SIZE]
            record, checksum = raw[: _RECORD.size], raw[_RECORD.size :]
            if zlib.crc32(record).to_bytes(4, "little") == checksum and any(raw):
                return End(*_RECORD.unpack(record))
            if not any(raw):
                return None
            time.sleep(0.0001)
        return None

    def publish(self, end: End) -> None:
        self._map[:_SIZE] = packed(end)

    def close(self) -> None:
        self._map.close()
