"""One family's way through its pipeline, on Spark."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from retaild.api import Lake
from retaild.pipeline.carry.dedup import Deduplicator, Fresh
from retaild.pipeline.idset import Hashes
from retaild.pipeline.letters import Letter
from retaild.pipeline.steps import Column, Dedup, Emit, Filter, Map, StreamPipeline
from retaild.pipeline.streams import OFFSET, bronze_schema, silver_schemas
from retaild_plugins.cluster.spark.stream.decoding import POSITION
from retaild_plugins.cluster.spark.stream.table import SparkTable
from retaild_plugins.cluster.spark.stream.windows import SparkWindows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TIME = "event_time"
_PLACE = (OFFSET, POSITION)


def hashes(keys: pa.ChunkedArray) -> Hashes:
    """A 64-bit hash of each key; only equal within one process."""
    found: Hashes = pl.Series(pl.from_arrow(keys)).hash().to_numpy()
    return found


class SparkFamily:
    """Bronze, silver and windows of one family.

    What is known of silver's keys is 8 bytes each in the driver's memory, so that a micro-batch
    costs what its own rows cost, however large silver is; only a key whose hash is known is looked
    up in the table.
    """

    def __init__(self, pipeline: StreamPipeline, lake: Lake, session: SparkSession) -> None:
        self._pipeline, self._session = pipeline, session
        name, schema = pipeline.table(), silver_schemas()[pipeline.table()]
        self._silver = SparkTable(lake, name, schema)
        family = pipeline.family
        self._bronze = SparkTable(lake, f"bronze.{family}", bronze_schema(family))
        keys = [step.key for step in pipeline.rows() if isinstance(step, Dedup)]
        self._dedups = {key: Deduplicator(lake, name, key, hashes) for key in keys}
        emits = any(isinstance(step, Emit) for step in pipeline.windows())
        self._windows = SparkWindows(pipeline, lake, session) if emits else None

    def load(self) -> None:
        for dedup in self._dedups.values():
            dedup.load()

    def write(self, rows: DataFrame, until: int) -> tuple[int, int, list[Letter]]:
        """Carry rows (bronze's columns and POSITION) into all tables.

        Rows new in silver, rows it had, and letters of rows that a step can make nothing of.
        """
        clean, letters = self._clean(rows)
        keys = self._keys(clean)
        missing = self._silver.missing(keys, until)
        fresh = Fresh.all_of(missing)
        for dedup in self._dedups.values():
            fresh = dedup.fresh(fresh.rows)
        if fresh.rows.num_rows:
            self._silver.append_frame(self._only(clean, missing, fresh.rows), until)
        for dedup in self._dedups.values():
            dedup.remember(fresh.hashes)
        self._bronze.append_frame(rows, until)
        if self._windows is not None:
            self._windows.write(keys, until)
        return fresh.rows.num_rows, fresh.duplicates, letters

    def _clean(self, rows: DataFrame) -> tuple[DataFrame, list[Letter]]:
        letters: list[Letter] = []
        for step in self._pipeline.rows():
            if isinstance(step, Filter):
                rows = rows.where(step.condition)
            elif isinstance(step, Map):
                rows = self._mapped(rows, step, letters)
        return rows, letters

    def _mapped(self, before: DataFrame, step: Map, letters: list[Letter]) -> DataFrame:
        from pyspark.sql import functions as F

        # All at once: each is computed from the columns before the step.
        values = {c.name: F.expr(c.expression).cast(c.type) for c in step.columns}
        rows = before.withColumns(values)
        for column in step.columns:
            if column.nullable:
                continue
            letters += self._not_computable(before, values, column)
            rows = rows.where(F.col(column.name).isNotNull())
        return rows

    def _not_computable(
        self, before: DataFrame, values: dict[str, object], column: Column
    ) -> list[Letter]:
        wrong = before.where(values[column.name].isNull()).orderBy(*_PLACE)  # type: ignore[attr-defined]
        reason = f"Its {column.name} cannot be computed: {column.expression}"
        schema = bronze_schema(self._pipeline.family)
        found = wrong.select(*schema.names).toArrow().cast(schema)
        return Letter.of_rows(found, self._pipeline.family, "stream.not_computable", reason)

    def _keys(self, rows: DataFrame) -> pa.Table:
        """Of each row, in the log's order, what tells it from others, and its time."""
        columns = [*self._dedups, _TIME, *_PLACE]
        return rows.select(*columns).toArrow().sort_by([(name, "ascending") for name in _PLACE])

    def _only(self, rows: DataFrame, candidates: pa.Table, chosen: pa.Table) -> DataFrame:
        """The chosen ones of the candidates; the smaller of the two sets goes to Spark."""
        from pyspark.sql import functions as F

        if chosen.num_rows == candidates.num_rows:
            return rows
        left_out = _without(candidates, chosen)
        if left_out.num_rows < chosen.num_rows:
            how, places = "left_anti", left_out
        else:
            how, places = "left_semi", chosen
        frame = self._session.createDataFrame(places.select(_PLACE))
        same = reduce(lambda a, b: a & b, (rows[name] == frame[name] for name in _PLACE))
        return rows.join(F.broadcast(frame), same, how)


def _without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """The rows whose places are not among the others'."""
    places = [list(_PLACE)] * 2
    return rows.select(_PLACE).join(
        others.select(_PLACE), keys=places[0], right_keys=places[1], join_type="left anti"
    )


def letters_in(rows: pa.ChunkedArray) -> pa.Table | None:
    """Dead letters as `decoding` encodes them: rows of bronze.dead_letter."""
    parts = [pa.ipc.open_stream(value).read_all() for value in rows.to_pylist()]
    return pa.concat_tables(parts) if parts else None
