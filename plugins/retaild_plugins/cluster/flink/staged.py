"""Decoded events and windows' values on their way from Flink to the lake: how they lie in a
staged file.

Read and written by two Pythons: Flink's own and ours, with different versions of Arrow.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from retaild.api import LogEntry
from retaild.events.codec import encode_table
from retaild.pipeline.entries import MicroBatch, decode
from retaild.pipeline.letters import Letter
from retaild.pipeline.window_values import WindowValue

#: Of the one column that a staged file has.
COLUMN = "content"
_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Staged:
    """The events of log entries `first` <= offset < `until`; the log has `rows` by then."""

    first: int
    until: int
    rows: int
    batch: MicroBatch


@dataclass(frozen=True, slots=True)
class StagedWindows:
    """What windows of the family's events come to, after some entry."""

    family: str
    values: list[WindowValue]


def packed(entries: Sequence[LogEntry], batch: MicroBatch | None = None) -> bytes:
    """The entries, at least one, in the order of the log; `batch` is what they were decoded to."""
    batch = batch or decode(entries)
    bodies = {family: encode_table(table) for family, table in batch.tables.items()}
    header = {
        "first": entries[0].offset,
        "until": entries[-1].offset + 1,
        "rows": max(entry.rows_before + entry.entry.rows for entry in entries),
        "tables": {family: len(body) for family, body in bodies.items()},
        "letters": [_plain(letter) for letter in batch.letters],
    }
    return b"".join([_framed(header), *bodies.values()])


def packed_windows(family: str, values: Sequence[WindowValue]) -> bytes:
    return _framed({"windows": family, "values": [astuple(value) for value in values]})


def _framed(header: dict[str, Any]) -> bytes:
    head = json.dumps(header).encode()
    return len(head).to_bytes(_LENGTH_BYTES, "big") + head


def unpacked(content: bytes) -> Staged | StagedWindows:
    """Raises ValueError for what neither `packed` nor `packed_windows` made."""
    place = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "big")
    header = json.loads(content[_LENGTH_BYTES:place])
    if "windows" in header:
        return StagedWindows(header["windows"], [_window(*own) for own in header["values"]])
    tables = {}
    for family, size in header["tables"].items():
        with pa.ipc.open_stream(pa.py_buffer(content)[place : place + size]) as reader:
            tables[family] = reader.read_all()
        place += size
    letters = [_letter(plain) for plain in header["letters"]]
    return Staged(header["first"], header["until"], header["rows"], MicroBatch(tables, letters))


def _window(
    keys: list[str | None], start: int, rows: int, digest: int, values: list[str | None]
) -> WindowValue:
    return WindowValue(tuple(keys), start, rows, digest, tuple(values))


def _plain(letter: Letter) -> dict[str, Any]:
    raw = base64.b64encode(letter.raw).decode()
    return {**asdict(letter), "raw": raw, "appended_at": letter.appended_at.isoformat()}


def _letter(plain: dict[str, Any]) -> Letter:
    at = datetime.fromisoformat(plain["appended_at"])
    return Letter(**{**plain, "raw": base64.b64decode(plain["raw"]), "appended_at": at})
