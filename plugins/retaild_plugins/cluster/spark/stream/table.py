"""A table of the lake that Spark appends to: each commit with the log offset it has got to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from retaild.api import Lake
from retaild.pipeline.stream_table import StreamTable
from retaild.pipeline.streams import OFFSET, STREAM_APP

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class SparkTable(StreamTable):
    """Rows below `committed` are there already. The offset is committed in one transaction with the
    rows, by the same name as every stream processor commits it: each carries on where another
    stopped."""

    def __init__(self, lake: Lake, name: str, schema: pa.Schema) -> None:
        super().__init__(lake, name, schema)
        self._path = str(lake.path(name))
        self._columns = schema.names

    def append_frame(self, rows: DataFrame, until: int) -> None:
        """Write those rows that the table does not have; commit `until` with them."""
        if self.committed >= until:
            return
        table = self._opened()  # all engines write the table as retaild makes it
        missing = rows.where(f"{OFFSET} >= {self.committed}").select(*self._columns)
        writer = missing.write.format("delta").mode("append")
        writer = writer.option("txnAppId", STREAM_APP).option("txnVersion", until)
        writer.save(self._path)
        self._committed = until
        table.update_incremental()
        self._count_append()
