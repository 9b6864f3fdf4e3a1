"""Pages of rows in, batches of events out; the position is the last row's cursor and key."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from retaild.api import BuildContext, Position, SourceBatch
from retaild.events import DeadLetter, Event, arrow_schema
from retaild.events.codec import to_table
from retaild.events.ids import event_id

from retaild_postgresql.config import PostgresqlConfig
from retaild_postgresql.database import Database, kept, restored
from retaild_postgresql.errors import CursorError, RowError
from retaild_postgresql.mapping import Mapper, plain_text


class PostgresqlSource:
    """A Source that is Checkable and Replayable."""

    def __init__(self, config: PostgresqlConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._mapper = Mapper(config, context)
        self._database = Database(config)
        self._after: tuple[Any, Any] | None = None
        self._rows = 0
        self._next = 0.0

    def open(self, position: Position | None) -> None:
        """Raises ServerAwayError (the host tries again), QueryError, CursorError."""
        if position:
            named = (position["cursor_column"], position["key_column"])
            if named != (self._config.cursor, self._config.key):
                raise CursorError(
                    f"Reading stopped at {named[0]} and {named[1]}, and the settings now name "
                    f"{self._config.cursor} and {self._config.key}."
                )
            self._after = (restored(position["cursor"]), restored(position["key"]))
        self._rows = position["rows"] if position else 0
        self._database.open()

    def poll(self) -> SourceBatch | None:
        if time.monotonic() < self._next:
            return None
        rows = self._database.page(self._after)
        if not rows:
            self._next = time.monotonic() + self._config.pause_seconds
            return None
        self._rows += len(rows)
        last = rows[-1]
        self._after = (last[self._config.cursor], last[self._config.key])
        position = {
            "cursor_column": self._config.cursor,
            "key_column": self._config.key,
            "cursor": kept(self._after[0]),
            "key": kept(self._after[1]),
            "rows": self._rows,
        }
        events: list[Event] = []
        letters: list[DeadLetter] = []
        for row in rows:
            try:
                events.append(self._mapper.event(row))
            except RowError as error:
                letters.append(self._letter(row, error))
        return self._batch(events, letters, position)

    def close(self) -> None:
        self._database.close()

    def check(self) -> None:
        """Connects on its own, and has the server plan the query."""
        trial = Database(self._config)
        try:
            trial.open()
            trial.explain()
        finally:
            trial.close()

    def parse(self, dead_letter: DeadLetter) -> SourceBatch:
        """The event in a refused row under the settings of now."""
        try:
            return self._batch([self._mapper.event(json.loads(dead_letter.raw))], [], {})
        except (RowError, ValueError, KeyError) as error:
            again = dead_letter.model_copy(update={"reason": str(error)[:2000]})
            return self._batch([], [again], {})

    def _batch(
        self, events: list[Event], letters: list[DeadLetter], position: Position
    ) -> SourceBatch:
        name = self._config.family
        return SourceBatch(
            family=name,
            events=to_table(events) if events else arrow_schema(name).empty_table(),
            position=position,
            dead_letters=tuple(letters),
            done=self._rows,
            label=self._config.database,
        )

    def _letter(self, row: dict[str, Any], error: RowError) -> DeadLetter:
        cursor, key = self._config.cursor, self._config.key
        where = f"{cursor} {plain_text(row[cursor])} {key} {plain_text(row[key])}"
        place = f"{self._config.database} {where}"[:2000]
        raw = json.dumps(row, default=plain_text, ensure_ascii=False).encode("utf-8", "replace")
        source = self._context.instance
        return DeadLetter(
            event_id=event_id("dead_letter", {"source": source, "place": place, "raw": raw}),
            event_time=datetime.now(UTC),
            source=source,
            store=self._context.store,
            target=self._config.family,
            place=place,
            reason_key="postgresql.row",
            reason=str(error)[:2000],
            raw=raw,
            format="json",
        )
