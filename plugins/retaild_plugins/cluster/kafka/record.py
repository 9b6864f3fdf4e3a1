"""How an entry lies in a Kafka record: the payload is the value, the rest are headers."""

from __future__ import annotations

from typing import Any, cast

from retaild.api import Entry, LogEntry
from retaild.api.bus import Codec

#: The family of records that somebody else wrote: no such family exists, so that the lake keeps
#: them as dead letters and the log goes on.
FOREIGN = "foreign"

#: Bounds of what this program writes; headers beyond them are somebody else's.
_MAX_ROWS, _MAX_TOTAL = 2**31, 2**62

Headers = list[tuple[str, str | bytes | None]]


def headers(entry: Entry, rows_before: int) -> Headers:
    return [
        ("family", entry.family.encode()),
        ("codec", entry.codec.encode()),
        ("rows", b"%d" % entry.rows),
        ("rows_before", b"%d" % rows_before),
    ]


def log_entry(message: Any, base: int, least_rows: int) -> LogEntry:
    """The entry in a consumed message. `least_rows`: rows known to lie before it."""
    offset = base + message.offset()
    appended_at = message.timestamp()[1] / 1000
    payload = message.value() or b""
    found = dict(message.headers() or ())
    try:
        codec = found["codec"].decode()
        if codec not in ("json", "arrow"):
            raise ValueError(codec)
        entry = Entry(found["family"].decode(), cast(Codec, codec), int(found["rows"]), payload)
        rows_before = max(least_rows, int(found["rows_before"]))
        if not 0 < entry.rows < _MAX_ROWS or rows_before > _MAX_TOTAL:
            raise ValueError(entry.rows)
    except (KeyError, ValueError, AttributeError, TypeError):  # a header may lack its value
        return LogEntry(offset, least_rows, appended_at, Entry(FOREIGN, "json", 1, payload))
    return LogEntry(offset, rows_before, appended_at, entry)
