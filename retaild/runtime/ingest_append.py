"""From a source's batches to entries of the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retaild.api.bus import Bus, Entry
from retaild.api.source import SourceBatch
from retaild.events import DeadLetter, arrow_schema
from retaild.events.codec import encode_table
from retaild.runtime.ingest_guard import guard

if TYPE_CHECKING:
    import pyarrow as pa

#: Limits of an entry (retaild.api.bus).
MAX_ROWS = 65_536
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows of one or more batches by what became of them. `refused_cards` are among `dead`."""

    accepted: int = 0
    dead: int = 0
    refused_cards: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.accepted + other.accepted,
            self.dead + other.dead,
            self.refused_cards + other.refused_cards,
        )


def append_batch(bus: Bus, batch: SourceBatch) -> Taken:
    """Guard a batch and write it; when this returns it survives a power cut."""
    entries, taken = guarded_entries(batch)
    if entries:
        bus.append(entries)
    return taken


def guarded_entries(batch: SourceBatch) -> tuple[list[Entry], Taken]:
    """What of a batch goes into the log, card numbers taken out."""
    guarded = guard(batch)
    entries = list(table_entries(guarded.family, guarded.events))
    if guarded.letters:
        entries += table_entries(DeadLetter.family, letters_table(guarded.letters))
    return entries, Taken(guarded.events.num_rows, len(guarded.letters), guarded.refused_cards)


def table_entries(family: str, table: pa.Table) -> Iterator[Entry]:
    """`table` in as few entries as the limits allow."""
    for start in range(0, table.num_rows, MAX_ROWS):
        part = table.slice(start, MAX_ROWS)
        payload = encode_table(part)
        if len(payload) <= MAX_BYTES or part.num_rows == 1:
            yield Entry(family, "arrow", part.num_rows, payload)
        else:
            middle = part.num_rows // 2
            yield from table_entries(family, part.slice(0, middle))
            yield from table_entries(family, part.slice(middle))


def letters_table(letters: Sequence[DeadLetter]) -> pa.Table:
    import pyarrow as pa

    rows = [letter.model_dump() for letter in letters]
    return pa.Table.from_pylist(rows, schema=arrow_schema(DeadLetter.family))
