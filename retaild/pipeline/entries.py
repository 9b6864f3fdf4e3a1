"""Log entries to Arrow tables; what cannot be read is set apart, it never stops the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retaild.api import LogEntry
from retaild.events import FAMILIES, arrow_schema
from retaild.events.codec import decode_table
from retaild.pipeline.letters import Letter
from retaild.pipeline.streams import APPENDED_AT, OFFSET

#: What a broken payload may raise in the codec; anything else is a fault of ours and must show.
_BROKEN = (
    ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError,
    pa.ArrowException,
)  # fmt: skip


@dataclass(slots=True)
class MicroBatch:
    """The events of some log entries by family, in the order of the log, with their provenance."""

    tables: dict[str, pa.Table]
    letters: list[Letter] = field(default_factory=list)


def decode(entries: Sequence[LogEntry]) -> MicroBatch:
    """Decode whole entries; tables have `bronze_schema(family)`."""
    by_family: dict[str, list[LogEntry]] = {}
    for entry in entries:
        by_family.setdefault(entry.entry.family, []).append(entry)
    batch = MicroBatch({})
    for family, own in by_family.items():
        parts = list(_parts(family, own, batch.letters))
        if parts:
            batch.tables[family] = pa.concat_tables(parts)
    return batch


def _parts(family: str, entries: Iterable[LogEntry], letters: list[Letter]) -> Iterable[pa.Table]:
    if family not in FAMILIES:
        reason = f"There is no event family {family!r}; a newer version may have written it."
        letters += [Letter.of_entry(entry, "event.unknown_family", reason) for entry in entries]
        return
    for codec, run in groupby(entries, key=lambda entry: entry.entry.codec):
        group = list(run)
        # Single web events come as one small JSON entry each: decoded together they cost a tenth.
        for part in [group] if codec == "json" else [[entry] for entry in group]:
            yield from _group(family, codec, part, letters)


def _group(
    family: str, codec: str, group: list[LogEntry], letters: list[Letter]
) -> Iterable[pa.Table]:
    try:
        table = decode_table(family, codec, b"\n".join(entry.entry.payload for entry in group))
        rows = [_rows(entry, table) if codec == "json" else table.num_rows for entry in group]
        if sum(rows) != table.num_rows:
            raise ValueError("the entry holds other rows than it says")
    except _BROKEN as error:
        if len(group) == 1:
            reason = f"The log entry cannot be read: {error}. Send its events again."
            letters.append(Letter.of_entry(group[0], "stream.unreadable", reason))
            return
        for entry in group:
            yield from _group(family, codec, [entry], letters)
        return
    if table.num_rows:
        yield _complete(family, _with_provenance(table, group, rows), letters)


def _rows(entry: LogEntry, table: pa.Table) -> int:
    return sum(1 for line in entry.entry.payload.splitlines() if line)


def _with_provenance(table: pa.Table, group: list[LogEntry], rows: list[int]) -> pa.Table:
    offsets = np.repeat(np.array([entry.offset for entry in group], np.int64), rows)
    moments = [round(entry.appended_at * 1e6) for entry in group]
    appended = pa.array(np.repeat(np.array(moments, np.int64), rows))
    moment = pa.timestamp("us", tz="UTC")
    return table.append_column(
        pa.field(OFFSET, pa.int64(), nullable=False), pa.array(offsets)
    ).append_column(pa.field(APPENDED_AT, moment, nullable=False), appended.cast(moment))


def _complete(family: str, table: pa.Table, letters: list[Letter]) -> pa.Table:
    """Without rows that lack what an event must have."""
    for column in arrow_schema(family):
        if column.nullable or table[column.name].null_count == 0:
            continue
        missing = pc.is_null(table[column.name])
        reason = f"The event has no {column.name}. Send it again with one."
        letters += Letter.of_rows(table.filter(missing), family, "event.incomplete", reason)
        table = table.filter(pc.invert(missing))
    return table
