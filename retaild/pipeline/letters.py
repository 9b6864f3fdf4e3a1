"""Dead letters that the stream itself writes: what the doors let through and yet cannot be used."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from retaild.api import LogEntry
from retaild.pipeline.streams import APPENDED_AT, OFFSET, bronze_schema

#: A larger payload is kept in its beginning only; the log keeps the whole for `lake.log_hours`.
MAX_RAW_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """A log entry, or one event of it, that goes to the dead letters."""

    offset: int
    appended_at: datetime
    target: str
    place: str
    key: str
    reason: str
    raw: bytes
    format: str

    @classmethod
    def of_entry(cls, entry: LogEntry, key: str, reason: str) -> Letter:
        appended = datetime.fromtimestamp(entry.appended_at, UTC)
        place = f"log entry {entry.offset}"
        raw = entry.entry.payload[:MAX_RAW_BYTES]
        return cls(
            entry.offset, appended, entry.entry.family, place, key, reason, raw, entry.entry.codec
        )

    @classmethod
    def of_rows(cls, table: pa.Table, family: str, key: str, reason: str) -> list[Letter]:
        """One letter a row; `raw` is the event as JSON."""
        letters = []
        for row in table.to_pylist():
            offset, appended = row.pop(OFFSET), row.pop(APPENDED_AT)
            event = {name: value for name, value in row.items() if value is not None}
            raw = json.dumps(event, default=_plain).encode()
            place = f"log entry {offset}, event {row.get('event_id')}"
            letters.append(cls(offset, appended, family, place, key, reason, raw, "json"))
        return letters

    def row(self, store: str) -> dict[str, Any]:
        """A row of `bronze_schema("dead_letter")`; the id is that of the same letter ever again."""
        identity = blake2b(self.place.encode() + b"\0" + self.raw, digest_size=16).hexdigest()
        return {
            "event_id": f"stream-{identity}",
            "event_time": self.appended_at,
            "source": "stream",
            "store": store,
            "target": self.target,
            "place": self.place,
            "reason_key": self.key,
            "reason": self.reason[:2000],
            "raw": self.raw,
            "format": self.format,
            OFFSET: self.offset,
            APPENDED_AT: self.appended_at,
        }


def letter_table(letters: list[Letter], store: str) -> pa.Table:
    """The letters as rows of bronze.dead_letter."""
    rows = [letter.row(store) for letter in letters]
    return pa.Table.from_pylist(rows, schema=bronze_schema("dead_letter"))


def _plain(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not a type of an event")
