"""Batch engine `spark`: the gold layer's SQL on Spark, tables in and out by Delta."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from retaild.api import BatchResult, BuildContext, Lake
from retaild.pipeline.batch import BatchTable
from retaild.pipeline.streams import silver_schemas
from retaild_plugins.cluster.spark.config import SparkConfig
from retaild_plugins.cluster.spark.session import SESSIONS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class SparkEngine:
    """Every table of a run is read at one version; what the run builds is read as it was built."""

    def __init__(self, config: SparkConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._lake = Lake(context.lake_dir)
        self._session: SparkSession | None = None
        self._versions: dict[str, int] = {}

    def open(self) -> None:
        if self._session is None:
            self._session = SESSIONS.acquire(self._config, self._context)

    def run(self, tables: Sequence[BatchTable]) -> list[BatchResult]:
        """Silver is read as it is now, once for all tables: they agree with one another."""
        built = {table.name for table in tables}
        self._versions = {}
        for name in sorted({name for table in tables for name in table.reads} - built):
            self._register(name)
        return [self._build(table) for table in tables]

    def close(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release()

    def _register(self, name: str) -> None:
        """A table of the lake as the view that the SQL names."""
        view = name.replace(".", "_")
        if self._lake.exists(name):
            self._versions[name] = self._lake.version(name)
        self._read(name).createOrReplaceTempView(view)

    def _read(self, name: str) -> DataFrame:
        assert self._session is not None
        if name not in self._versions:
            from pyspark.sql.pandas.types import from_arrow_schema

            schema = from_arrow_schema(silver_schemas()[name])
            return self._session.createDataFrame([], schema)
        reader = self._session.read.format("delta").option("versionAsOf", self._versions[name])
        return reader.load(str(self._lake.path(name)))

    def _build(self, table: BatchTable) -> BatchResult:
        assert self._session is not None
        started = time.monotonic()
        rows = self._session.sql(in_spark(table.sql))
        writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", True)
        writer.save(str(self._lake.path(table.name)))
        reads = {name: self._versions[name] for name in table.reads if name in self._versions}
        self._register(table.name)
        version = self._versions[table.name]
        count = self._lake.dataset(table.name, version).count_rows()
        return BatchResult(table.name, count, version, reads, time.monotonic() - started)


@cache
def in_spark(sql: str) -> str:
    """The SQL of a gold table in Spark's dialect."""
    import sqlglot

    (found,) = sqlglot.transpile(sql, read="duckdb", write="spark", comments=False)
    return str(found)
