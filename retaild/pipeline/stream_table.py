"""The tables of the lake as the stream writes them: each with the log offset it has got to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake.exceptions import CommitFailedError
from numpy.typing import NDArray

from retaild.api import Lake
from retaild.pipeline.streams import OFFSET, STREAM_APP

if TYPE_CHECKING:
    from deltalake import DeltaTable

#: A stream commits every second: opening the table shall not read many small log entries.
CONFIGURATION = {"delta.checkpointInterval": "50"}

#: After so many appends their files are joined.
_SMALL_FILES = 50


class StreamTable:
    """One table and its committed offset: a row below it is there already and is not written again.

    The offset is committed in the same transaction as the rows, so whenever this process dies the
    table holds each row exactly once.
    """

    def __init__(
        self, lake: Lake, name: str, schema: pa.Schema, partition_by: str | None = None
    ) -> None:
        self._lake, self.name, self._schema = lake, name, schema
        self._partition_by = partition_by
        self._handle: DeltaTable | None = None
        self._committed: int | None = None
        self._appended = 0

    @property
    def committed(self) -> int:
        """Rows with an `_offset` below this are in the table."""
        if self._committed is None:
            self._committed = self._lake.committed(self.name, STREAM_APP) or 0
        return self._committed

    def missing(self, rows: pa.Table, until: int) -> pa.Table:
        """The rows that are not in the table yet; `until` is the offset behind the newest row."""
        if self.committed >= until:
            return rows.slice(0, 0)
        first = pc.min(rows[OFFSET]).as_py() if rows.num_rows else until
        if first >= self.committed:
            return rows
        return rows.filter(pc.greater_equal(rows[OFFSET], self.committed))

    def present(self, rows: pa.Table) -> pa.Table:
        """The other rows: those that the table has, by their offset."""
        return rows.filter(pc.less(rows[OFFSET], self.committed))

    def append(self, rows: pa.Table, until: int) -> None:
        """Write rows, all of them `missing`, and commit `until` with them."""
        if not rows.num_rows:
            return
        rows = rows.cast(self._schema) if rows.schema != self._schema else rows
        self._commit(
            lambda table: self._lake.append(
                self.name, rows, app_id=STREAM_APP, offset=until, table=table
            ),
            until,
        )
        self._count_append()

    def _count_append(self) -> None:
        self._appended += 1
        if self._appended >= _SMALL_FILES:
            self._tidy()

    def replace(self, rows: pa.Table, where: str, until: int) -> None:
        """Put `rows` in the place of those for which `where` holds and commit `until`."""
        rows = rows.cast(self._schema)
        self._commit(
            lambda table: self._lake.replace(
                self.name, rows, where, app_id=STREAM_APP, offset=until, table=table
            ),
            until,
        )

    def replace_windows(self, rows: pa.Table, starts: NDArray[np.int64], until: int) -> None:
        """Put `rows`, at least one, in the place of the windows that begin at `starts` (epoch us).

        Whole partitions are written, so that no file holds a few rows only.
        """
        moments = pa.array(starts).cast(pa.timestamp("us", tz="UTC"))
        where, condition = self._partitions(rows)
        old = self.read(rows.column_names, where).cast(rows.schema)
        old = old.filter(pc.invert(pc.is_in(old["window_start"], moments)))
        self.replace(pa.concat_tables([old, rows]), condition, until)

    def _partitions(self, rows: pa.Table) -> tuple[ds.Expression, str]:
        """The partitions that the rows lie in, as a filter for Arrow and as SQL."""
        column = self._partition_by
        if column is None:
            return ds.scalar(True), "true"
        values = pc.unique(rows[column])
        texts = ", ".join(f"'{value}'" for value in values.cast(pa.string()).to_pylist())
        return ds.field(column).isin(values), f"{column} IN ({texts})"

    def mark(self, until: int) -> None:
        """Commit an offset without rows."""
        self._commit(lambda table: self._lake.mark(table, STREAM_APP, until), until)

    def read(self, columns: list[str], where: pc.Expression) -> pa.Table:
        """Rows as of now."""
        if not self._lake.exists(self.name):
            return self._schema.empty_table().select(columns)
        table = self._opened()
        table.update_incremental()
        return table.to_pyarrow_dataset().to_table(columns=columns, filter=where)

    def reset(self) -> None:
        """Look at the table anew."""
        self._handle = self._committed = None

    def _commit(self, write: Callable[[DeltaTable], None], until: int) -> None:
        """Write once; a second time if upkeep changed the table's properties or files meanwhile."""
        try:
            write(self._opened())
        except CommitFailedError:
            self.reset()
            if self.committed < until:
                write(self._opened())
        self._committed = until

    def _tidy(self) -> None:
        """Join the small files of single micro-batches: every commit costs more with their number.

        The job `compact` makes large ones of these, in its own time.
        """
        self._appended = 0
        try:
            self._lake.join_small_files(self._opened())
        except CommitFailedError:
            self._handle = None  # that job was at the same files: it has done it

    def _opened(self) -> DeltaTable:
        if self._handle is None:
            self._handle = self._lake.create(
                self.name,
                self._schema,
                partition_by=self._partition_by,
                configuration=CONFIGURATION,
            )
        return self._handle
