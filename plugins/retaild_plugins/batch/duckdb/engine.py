"""DuckDB over the lake."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from retaild.api import BatchResult, BuildContext, Lake
from retaild.pipeline.batch import BatchTable
from retaild.pipeline.streams import silver_schemas
from retaild_plugins.batch.duckdb.config import DuckDBConfig

_UTC = pa.timestamp("us", tz="UTC")
_PLAIN = pa.timestamp("us")


class DuckDBEngine:
    """One in-memory database; every table that a run reads is loaded into it once."""

    def __init__(self, config: DuckDBConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._lake = Lake(context.lake_dir)
        self._spill = context.state_dir / "spill"
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._versions: dict[str, int] = {}

    def open(self) -> None:
        self._spill.mkdir(parents=True, exist_ok=True)
        self._connection = duckdb.connect(
            config={
                "threads": self._context.threads,
                "memory_limit": f"{self._config.memory_mib}MiB",
                "temp_directory": str(self._spill),
            }
        )
        self._connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")

    def run(self, tables: Sequence[BatchTable]) -> list[BatchResult]:
        """Silver is read as it is now, once for all tables: they agree with one another."""
        built = {table.name for table in tables}
        self._versions = {}
        needed: dict[str, set[str]] = {}
        for table in tables:
            for name in table.reads:
                if name not in built:
                    needed.setdefault(name, set()).update(table.words())
        for name, words in sorted(needed.items()):
            self._load(name, words)
        return [self._build(table) for table in tables]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        shutil.rmtree(self._spill, ignore_errors=True)

    def _load(self, name: str, words: set[str]) -> None:
        """A table of the lake into the database: the columns that some SQL names."""
        if self._lake.exists(name):
            table = self._lake.table(name)
            self._versions[name] = int(table.version())
            dataset = table.to_pyarrow_dataset()
            columns = [column for column in dataset.schema.names if column in words]
            self._keep(name, dataset.to_table(columns=columns))
        else:
            self._keep(name, silver_schemas()[name].empty_table())

    def _keep(self, name: str, rows: pa.Table) -> None:
        assert self._connection is not None
        self._connection.register("incoming", _zoned(rows, _UTC, _PLAIN))
        target = name.replace(".", "_")
        self._connection.execute(f"CREATE OR REPLACE TABLE {target} AS FROM incoming")
        self._connection.unregister("incoming")

    def _build(self, table: BatchTable) -> BatchResult:
        assert self._connection is not None
        started = time.monotonic()
        rows = self._connection.sql(table.sql).to_arrow_table()
        self._keep(table.name, rows)
        version = self._lake.overwrite(table.name, _zoned(rows, _PLAIN, _UTC))
        reads = {name: self._versions[name] for name in table.reads if name in self._versions}
        self._versions[table.name] = version
        seconds = time.monotonic() - started
        return BatchResult(table.name, rows.num_rows, version, reads, seconds)


def _zoned(rows: pa.Table, old: pa.DataType, new: pa.DataType) -> pa.Table:
    """In the SQL times are plain (UTC is agreed), in the lake they say that they are UTC."""
    fields = [f.with_type(new) if f.type == old else f for f in rows.schema]
    return rows.cast(pa.schema(fields))
