"""Step Window: aggregates per tumbling window, always those of the whole table they come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from retaild.pipeline.carry.given import WindowCounts, proven
from retaild.pipeline.carry.sql import Sql, names_in
from retaild.pipeline.steps import Filter, Map, Step, Window
from retaild.pipeline.stream_table import StreamTable
from retaild.pipeline.streams import OFFSET
from retaild.pipeline.window_values import IDENTITY, WindowValue, identities, key_hashes

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Before every event: all windows are in memory.
_EVERYTHING = -(2**62)


class WindowPart:
    """The steps of a pipeline behind its first Emit.

    Rows of the windows that may still grow (`allowed_lateness` behind the newest row) are kept in
    memory, so that a step needs no look at the table. A window whose rows are no longer there is
    computed from the table. The outcome depends on the table alone: a replay cannot change it.

    With `key`, the column that says which row is which, values that an engine has computed are
    taken in the place of own ones where they are of the same rows.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        source: StreamTable,
        target: StreamTable,
        sql: Sql,
        key: str | None = None,
    ) -> None:
        self._before = [step for step in steps if isinstance(step, Filter)]
        self._window = next(step for step in steps if isinstance(step, Window))
        self._after = [step for step in steps if isinstance(step, Map)]
        self._source, self._target, self._sql, self._key = source, target, sql, key
        #: Windows written so far.
        self.counts = WindowCounts()
        self._size = self._window.size // _MICROSECOND
        self._open: pa.Table | None = None
        #: Start of the earliest window of which `_open` holds all rows (epoch us).
        self._horizon = _EVERYTHING
        self._newest = _EVERYTHING

    def load(self, schema: pa.Schema, newest: datetime | None) -> None:
        """Take the rows of open windows from the source table, whose newest row is `newest`."""
        texts = [step.condition for step in self._before]
        texts += [column.expression for column in self._window.aggregates]
        named = [*texts, *self._window.keys, self._window.time]
        needed = names_in(named, schema)
        self._columns = names_in([*named, self._key, OFFSET], schema) if self._key else needed
        #: Of no use once a row's identity is known.
        self._spent = [name for name in self._columns if name not in needed]
        self._open, self._horizon, self._newest = None, _EVERYTHING, _EVERYTHING
        if newest is not None:
            self._newest = (newest - _EPOCH) // _MICROSECOND
            self._horizon = self._new_horizon()
            start = _EPOCH + self._horizon * _MICROSECOND
            self._open = self._from_source(ds.field(self._window.time) >= start)

    def carry(
        self,
        written: pa.Table,
        replayed: pa.Table,
        until: int,
        given: Sequence[WindowValue] = (),
    ) -> None:
        """Bring windows up to date: those of the rows that the source table has just got, and
        after a crash those of `replayed` rows, which it got before; `given` is what an engine
        says that windows come to."""
        fresh = self._prepared(written)
        self._open = fresh if self._open is None else pa.concat_tables([self._open, fresh])
        old = self._prepared(self._target.missing(replayed, until))
        starts = np.unique(np.concatenate([self._starts(fresh), self._starts(old)]))
        if len(starts):
            self._target.replace_windows(self._aggregates(starts, given), starts, until)
        self._advance(fresh)

    def _prepared(self, rows: pa.Table) -> pa.Table:
        """The columns that count, filtered, with window_start (epoch us) and perhaps IDENTITY."""
        rows = rows.select(self._columns)
        for step in self._before:
            rows = rows.filter(self._sql.mask(rows, step.condition))
        if self._key:
            own = identities(key_hashes(rows[self._key]), rows[OFFSET])
            rows = rows.drop_columns(self._spent).append_column(IDENTITY, pa.array(own))
        times = rows[self._window.time].cast(pa.int64()).to_numpy()
        return rows.append_column("window_start", pa.array(times // self._size * self._size))

    def _starts(self, rows: pa.Table) -> NDArray[np.int64]:
        starts: NDArray[np.int64] = rows["window_start"].to_numpy()
        return starts

    def _aggregates(self, starts: NDArray[np.int64], given: Sequence[WindowValue]) -> pa.Table:
        """Of all rows of the windows that begin at `starts`."""
        assert self._open is not None
        late = starts[starts < self._horizon]
        rows = [self._open.filter(pc.is_in(self._open["window_start"], pa.array(starts)))]
        if len(late):
            # The rows in memory of such a window are but some of it.
            rows = [rows[0].filter(pc.greater_equal(rows[0]["window_start"], self._horizon))]
            rows.append(self._from_table(late))
        result = self._values(pa.concat_tables(rows), given)
        for step in self._after:
            values = self._sql.evaluate(result, step.columns)
            for column, value in zip(step.columns, values, strict=True):
                result = result.append_column(column.name, value)
        return result

    def _values(self, rows: pa.Table, given: Sequence[WindowValue]) -> pa.Table:
        """The engine's, and of the windows that it does not know all rows of, our own."""
        known, others = proven(given, rows, self._window)
        self.counts.given += known.num_rows if known is not None else 0
        if known is not None and not others.num_rows:
            return known
        own = self._sql.windows(others, self._window)
        self.counts.computed += own.num_rows
        return own if known is None else pa.concat_tables([known, own])

    def _from_table(self, starts: NDArray[np.int64]) -> pa.Table:
        time = ds.field(self._window.time)
        first = _EPOCH + int(starts[0]) * _MICROSECOND
        last = _EPOCH + int(starts[-1]) * _MICROSECOND + self._window.size
        rows = self._from_source((time >= first) & (time < last))
        return rows.filter(pc.is_in(rows["window_start"], pa.array(starts)))

    def _from_source(self, where: ds.Expression) -> pa.Table:
        return self._prepared(self._source.read(self._columns, where))

    def _new_horizon(self) -> int:
        behind = self._newest - self._window.allowed_lateness // _MICROSECOND
        return behind // self._size * self._size

    def _advance(self, fresh: pa.Table) -> None:
        """Let go of windows that are too far behind the newest row to grow."""
        assert self._open is not None
        if fresh.num_rows:
            newest = pc.max(fresh[self._window.time]).cast(pa.int64()).as_py()
            self._newest = max(self._newest, newest)
            self._horizon = max(self._horizon, self._new_horizon())
        kept = pc.greater_equal(self._open["window_start"], self._horizon)
        self._open = self._open.filter(kept).combine_chunks()
