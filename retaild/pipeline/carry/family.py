"""One family's way through its pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from retaild.api import Lake
from retaild.pipeline.carry.dedup import Deduplicator, Fresh
from retaild.pipeline.carry.given import WindowCounts
from retaild.pipeline.carry.sql import Sql
from retaild.pipeline.carry.windows import WindowPart
from retaild.pipeline.letters import Letter
from retaild.pipeline.steps import Dedup, Emit, Filter, Map, StreamPipeline
from retaild.pipeline.stream_table import StreamTable
from retaild.pipeline.streams import bronze_schema, silver_schemas
from retaild.pipeline.window_values import WindowValue

_TIME = "event_time"


class FamilyStream:
    """Bronze, silver and windows of one family: Map and Filter, then Dedup, then Emit, Window.

    With `given`, an engine computes windows, too: `give_windows` takes what it says.
    """

    def __init__(self, pipeline: StreamPipeline, lake: Lake, sql: Sql, given: bool = False) -> None:
        self._family, self._lake, self._sql = pipeline.family, lake, sql
        self._stateless = [step for step in pipeline.rows() if isinstance(step, Map | Filter)]
        self._bronze = StreamTable(
            lake, f"bronze.{pipeline.family}", bronze_schema(pipeline.family)
        )
        self._schema = silver_schemas()[pipeline.table()]
        self._silver = StreamTable(lake, pipeline.table(), self._schema)
        keys = [step.key for step in pipeline.rows() if isinstance(step, Dedup)]
        self._dedups = [Deduplicator(lake, pipeline.table(), key, sql.hashes) for key in keys]
        self._due_bronze: list[pa.Table] = []
        #: (rows silver has got, rows it had before a crash) of each micro-batch.
        self._due_windows: list[tuple[pa.Table, pa.Table]] = []
        self._given: list[WindowValue] = []
        self._windows: WindowPart | None = None
        emit = next((step for step in pipeline.windows() if isinstance(step, Emit)), None)
        if emit is not None:
            schema = silver_schemas()[emit.table]
            target = StreamTable(lake, emit.table, schema, emit.partition_by)
            key = keys[0] if given and keys else None
            self._windows = WindowPart(pipeline.windows(), self._silver, target, sql, key)

    def load(self) -> None:
        """Learn what the tables hold."""
        for dedup in self._dedups:
            dedup.load()
        if self._windows:
            self._windows.load(self._schema, self._newest())

    def write_silver(self, rows: pa.Table, letters: list[Letter], until: int) -> tuple[int, int]:
        """Run the pipeline; rows written, and rows left out because silver has them.

        Rows that a step cannot make anything of are added to `letters`. Bronze and windows are due
        from now on.
        """
        clean = self._clean(rows, letters)
        missing = self._silver.missing(clean, until)
        fresh = Fresh.all_of(missing)
        for dedup in self._dedups:
            fresh = dedup.fresh(fresh.rows)
        # After a crash the windows of rows that silver had already may not be up to date.
        there = clean.slice(0, 0) if missing is clean else self._silver.present(clean)
        self._silver.append(fresh.rows, until)
        for dedup in self._dedups:
            dedup.remember(fresh.hashes)
        self._due_bronze.append(rows)
        self._due_windows.append((fresh.rows, there))
        return fresh.rows.num_rows, fresh.duplicates

    def write_bronze(self, until: int) -> None:
        """Append the events that are due as they were accepted."""
        if self._due_bronze:
            rows = pa.concat_tables(self._due_bronze)
            self._bronze.append(self._bronze.missing(rows, until), until)
            self._due_bronze = []

    def write_windows(self, until: int) -> None:
        """Bring the windows of the rows that are due up to date."""
        if self._due_windows and self._windows:
            written, replayed = zip(*self._due_windows, strict=True)
            rows, there = pa.concat_tables(written), pa.concat_tables(replayed)
            self._windows.carry(rows, there, until, self._given)
        self._due_windows, self._given = [], []

    def give_windows(self, values: Sequence[WindowValue]) -> None:
        """What an engine says that windows come to with rows that are due, or will be next."""
        self._given += values

    def window_counts(self) -> WindowCounts:
        """Of the windows written since this was made."""
        return self._windows.counts if self._windows else WindowCounts()

    def _clean(self, rows: pa.Table, letters: list[Letter]) -> pa.Table:
        for step in self._stateless:
            if isinstance(step, Filter):
                rows = rows.filter(self._sql.mask(rows, step.condition))
            else:
                rows = self._mapped(rows, step, letters)
        return rows

    def _mapped(self, rows: pa.Table, step: Map, letters: list[Letter]) -> pa.Table:
        before = rows
        for column, values in zip(
            step.columns, self._sql.evaluate(rows, step.columns), strict=True
        ):
            field = pa.field(column.name, values.type, nullable=column.nullable)
            place = rows.schema.get_field_index(column.name)
            rows = (
                rows.append_column(field, values)
                if place < 0
                else rows.set_column(place, field, values)
            )
        for column in step.columns:
            if column.nullable or rows[column.name].null_count == 0:
                continue
            wrong = pc.is_null(rows[column.name])
            reason = f"Its {column.name} cannot be computed: {column.expression}"
            key = "stream.not_computable"
            letters += Letter.of_rows(before.filter(wrong), self._family, key, reason)
            rows, before = rows.filter(pc.invert(wrong)), before.filter(pc.invert(wrong))
        return rows

    def _newest(self) -> datetime | None:
        """Time of the newest event in silver."""
        if not self._lake.exists(self._silver.name):
            return None
        batches = self._lake.dataset(self._silver.name).to_batches(columns=[_TIME])
        return max((pc.max(b.column(0)).as_py() for b in batches if b.num_rows), default=None)
