"""Reading the log on from where the facts are, in slices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from retaild.api.bus import Bus, LogEntry, TrimmedError
from retaild.events.codec import decode_table, iter_events
from retaild.runtime.serving.facts import Facts
from retaild.runtime.serving.own import OwnEntries
from retaild.runtime.serving.pace import Pace

#: Rows asked of the log at a time; and of a large entry, decoded at a time.
READ_ROWS = 4096
CHUNK_ROWS = 128
#: Entries with more rows are decoded in a thread.
LARGE_ROWS = 512
#: Further behind than this, an import is under way: it is followed with a tenth of a core, so
#: that the doors and the lake get on with it. Events of this server's own door do not wait for it.
BULK_ROWS = 50_000
BULK_REST = 9.0


class Retired:
    """Tells a long `catch_up` that its facts were replaced by those of a newer snapshot."""

    def __init__(self, current: Callable[[], Facts], facts: Facts) -> None:
        self._current = current
        self._facts = facts

    def __bool__(self) -> bool:
        return self._current() is not self._facts


class Tail:
    """Applies log entries to facts. One at a time per `Facts`."""

    def __init__(self, bus: Bus, pace: Pace) -> None:
        self._bus = bus
        self._pace = pace

    async def catch_up(
        self,
        facts: Facts,
        absorb: Callable[[], None] | None = None,
        own: OwnEntries | None = None,
        retired: Retired | None = None,
        *,
        gives_way: bool = False,
    ) -> int:
        """Apply what there is now; the rows read. Between slices the loop runs on.

        `absorb` is called before others get their turn, so that they see whole changes. Entries in
        `own` are applied to these facts already. Ends early once `retired`. `gives_way`: to an
        import that is under way.
        """
        rows = 0
        while True:
            entries = self._read(facts)
            if not entries:
                return rows
            slice_ = self._pace.slice()
            end = self._bus.end().rows
            for entry in entries:
                is_bulk = gives_way and end - entry.rows_before > BULK_ROWS
                rows += entry.entry.rows
                if own is not None and own.take(entry.entry):
                    facts.offset = entry.offset + 1
                    continue
                async for event in self._events(facts, entry):
                    facts.apply(entry.entry.family, event)
                    if slice_.over():
                        if absorb:
                            absorb()
                        await slice_.pause(BULK_REST if is_bulk else 0.0)
                        if retired:
                            return rows
                facts.offset = entry.offset + 1
            if absorb:
                absorb()

    def _read(self, facts: Facts) -> list[LogEntry]:
        if self._bus.end().offset <= facts.offset:
            return []
        try:
            return self._bus.read(facts.offset, READ_ROWS)
        except TrimmedError as error:
            # Trimmed entries are in the lake, and a snapshot made since holds them.
            facts.offset = max(facts.offset, error.first)
            return self._bus.read(facts.offset, READ_ROWS)

    async def _events(self, facts: Facts, entry: LogEntry) -> AsyncIterator[dict[str, Any]]:
        family, content = entry.entry.family, entry.entry
        if not facts.wants(family, entry.offset):
            return
        if content.rows <= LARGE_ROWS:
            for event in iter_events(family, content.codec, content.payload):
                yield event
            return
        loop = asyncio.get_running_loop()
        args = (family, content.codec, content.payload)
        plain = await loop.run_in_executor(None, _plain_table, *args)
        for chunk in _chunks(plain):
            for event in chunk:
                yield event


def _plain_table(family: str, codec: str, payload: bytes) -> Any:
    """The entry as a table of plain numbers and texts, made outside the loop's thread."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = decode_table(family, codec, payload)
    columns = []
    for column in table.columns:
        if pa.types.is_decimal(column.type):
            column = pc.cast(column, pa.float64())
        elif pa.types.is_timestamp(column.type):
            column = pc.divide(pc.cast(pc.cast(column, pa.int64()), pa.float64()), 1e6)
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def _chunks(table: Any) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, table.num_rows, CHUNK_ROWS):
        part = table.slice(start, CHUNK_ROWS)
        yield part.to_pylist()
