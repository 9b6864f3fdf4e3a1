"""Step Window on Spark: the windows that a micro-batch touches, from the whole table."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild.api import Lake
from retaild.pipeline.steps import Emit, Filter, Map, StreamPipeline, Window
from retaild.pipeline.stream_table import StreamTable
from retaild.pipeline.streams import OFFSET, silver_schemas

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_MICROSECOND = timedelta(microseconds=1)
#: Spans of time that are read; the files of other times are skipped.
_SPANS = 32
_START = "window_start"


class SparkWindows:
    """The steps of a pipeline behind its first Emit.

    Every window is computed from the table alone, so a replay gives the same; files without a row
    of the touched windows are skipped by their bounds.
    """

    def __init__(self, pipeline: StreamPipeline, lake: Lake, session: SparkSession) -> None:
        steps = pipeline.windows()
        self._conditions = [step.condition for step in steps if isinstance(step, Filter)]
        self._window = next(step for step in steps if isinstance(step, Window))
        self._after = [step for step in steps if isinstance(step, Map)]
        emit = next(step for step in steps if isinstance(step, Emit))
        self._schema = silver_schemas()[emit.table]
        self._target = StreamTable(lake, emit.table, self._schema, emit.partition_by)
        self._source = str(lake.path(pipeline.table()))
        self._session = session
        self._size = self._window.size // _MICROSECOND

    def write(self, rows: pa.Table, until: int) -> None:
        """Bring the windows of `rows` (their times and offsets), which silver has now, up to date.

        Rows that silver had before do no harm: their windows come out as they are.
        """
        if self._target.committed >= until or not rows.num_rows:
            return
        own = rows.filter(pc.greater_equal(rows[OFFSET], self._target.committed))
        moments = own[self._window.time].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        starts = np.unique(moments.to_numpy() // self._size * self._size)
        if not len(starts):
            return
        result = self._aggregates(starts)
        if result.num_rows:
            found = np.unique(result[_START].cast(pa.int64()).to_numpy())
            self._target.replace_windows(result, found, until)

    def _aggregates(self, starts: NDArray[np.int64]) -> pa.Table:
        from pyspark.sql import functions as F

        window = self._window
        rows = self._touched(starts)
        for condition in self._conditions:
            rows = rows.where(condition)
        columns = [F.expr(c.expression).cast(c.type).alias(c.name) for c in window.aggregates]
        result = rows.groupBy(*window.keys, _START).agg(*columns)
        end = F.timestamp_micros(F.unix_micros(_START) + F.lit(self._size))
        result = result.withColumn("window_end", end)
        for step in self._after:
            result = result.withColumns(
                {c.name: F.expr(c.expression).cast(c.type) for c in step.columns}
            )
        return result.select(*self._schema.names).toArrow().cast(self._schema)

    def _touched(self, starts: NDArray[np.int64]) -> DataFrame:
        """Silver's rows of the windows, each with its window's start."""
        from pyspark.sql import functions as F

        time, size = F.unix_micros(self._window.time), self._size
        rows = self._session.read.format("delta").load(self._source)
        spans = [
            (F.col(self._window.time) >= F.timestamp_micros(F.lit(first)))
            & (F.col(self._window.time) < F.timestamp_micros(F.lit(last)))
            for first, last in spans_of(starts, size)
        ]
        rows = rows.where(reduce(lambda a, b: a | b, spans))
        return rows.withColumn(_START, F.timestamp_micros(time - F.pmod(time, F.lit(size))))


def spans_of(starts: NDArray[np.int64], size: int) -> list[tuple[int, int]]:
    """Ascending window starts as at most _SPANS spans [first, last) that cover them all.

    Where there would be more, the narrowest gaps are covered too: their windows come out as they
    are.
    """
    gaps = np.diff(starts)
    breaks = np.flatnonzero(gaps > size)
    widest = breaks[np.argsort(gaps[breaks], kind="stable")[::-1][: _SPANS - 1]]
    runs = np.split(starts, np.sort(widest) + 1)
    return [(int(run[0]), int(run[-1]) + size) for run in runs]
