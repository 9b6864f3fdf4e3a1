"""How an entry lies in a segment file.

    magic  length  offset  rows_before  rows  codec  family length  appended_at  crc32
    4 s    u32     u64     u64          u32   u8     u8             f64          u32

then the family's name and the payload,

little-endian; `length` being that of the payload. The CRC covers everything but itself, so a torn
or flipped frame is never taken for an entry.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Literal, cast

from retaild.api import Entry, LogEntry
from retaild.api.errors import RetaildError

MAGIC = b"RLF1"
_HEAD = struct.Struct("<4sIQQIBBd")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _CRC.size
MAX_PAYLOAD = 16 * 1024 * 1024
MAX_ROWS = 65_536
_CODECS: tuple[Literal["json", "arrow"], ...] = ("json", "arrow")


class EntryTooLargeError(RetaildError):
    key = "bus.entry_too_large"

    def __init__(self, rows: int, size: int) -> None:
        super().__init__(
            f"A log entry of {rows} rows and {size} bytes is over the limit "
            f"({MAX_ROWS} rows, {MAX_PAYLOAD} bytes).",
            hint="Append the events in smaller entries.",
        )


def check_size(entry: Entry) -> None:
    """Raises EntryTooLargeError."""
    if len(entry.payload) > MAX_PAYLOAD or not 0 < entry.rows <= MAX_ROWS:
        raise EntryTooLargeError(entry.rows, len(entry.payload))


def pack(entry: Entry, offset: int, rows_before: int, appended_at: float) -> bytes:
    """The frame of an entry; raises EntryTooLargeError."""
    check_size(entry)
    family = entry.family.encode()
    codec = _CODECS.index(entry.codec)
    head = _HEAD.pack(
        MAGIC,
        len(entry.payload),
        offset,
        rows_before,
        entry.rows,
        codec,
        len(family),
        appended_at,
    )
    crc = _checksum(head, family, entry.payload)
    return b"".join((head, _CRC.pack(crc), family, entry.payload))


def frames(data: bytes | memoryview, expected_offset: int) -> Iterator[tuple[LogEntry, int]]:
    """Whole and sound frames from the start of `data`: (entry, position behind its frame).

    Ends at the first that is cut short, damaged, or not the next by offset (the file was
    preallocated, or written over by something else).
    """
    view = memoryview(data)
    position = 0
    while (found := _frame_at(view, position, expected_offset)) is not None:
        entry, position = found
        yield entry, position
        expected_offset += 1


def next_sound(data: bytes, position: int, offset: int) -> tuple[int, int] | None:
    """Where the next sound frame behind damaged bytes begins, and its offset (at least `offset`).

    Every place that looks like a beginning is tried; the checksum decides.
    """
    view = memoryview(data)
    at = data.find(MAGIC, position)
    while at >= 0:
        if at + HEADER_BYTES <= len(data):
            stated = int(_HEAD.unpack_from(data, at)[2])
            if stated >= offset and _frame_at(view, at, stated) is not None:
                return at, stated
        at = data.find(MAGIC, at + 1)
    return None


def frame_length(header: bytes) -> int | None:
    """Bytes of the frame that begins with `header`; None if no frame can begin so."""
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return None
    _, length, _, _, _, _, family_length, _ = _HEAD.unpack_from(header)
    return HEADER_BYTES + int(family_length) + int(length) if length <= MAX_PAYLOAD else None


def _frame_at(view: memoryview, start: int, expected_offset: int) -> tuple[LogEntry, int] | None:
    size = frame_length(bytes(view[start : start + HEADER_BYTES]))
    if size is None or start + size > len(view):
        return None
    _, _, offset, rows_before, rows, codec, family_length, at = _HEAD.unpack_from(view, start)
    (crc,) = _CRC.unpack_from(view, start + _HEAD.size)
    body = start + HEADER_BYTES
    family = bytes(view[body : body + family_length])
    payload = bytes(view[body + family_length : start + size])
    head = view[start : start + _HEAD.size]
    if offset != expected_offset or crc != _checksum(head, family, payload):
        return None
    entry = Entry(family.decode(), cast("Literal['json', 'arrow']", _CODECS[codec]), rows, payload)
    return LogEntry(offset, rows_before, at, entry), start + size


def _checksum(head: bytes | memoryview, family: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(family, zlib.crc32(head)))
