"""The lake: Delta tables below one directory. The one place that opens and writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retaild.api.errors import RetaildError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from deltalake import CommitProperties, DeltaTable, WriterProperties

#: Appends and compaction meet on one table: a commit that lost the race is tried again.
COMMIT_RETRIES = 500

#: Replacing files cannot be merged with another replacement of them: it is tried so many times.
ATTEMPTS = 10

#: What `join_small_files` takes for small.
SMALL_FILE_BYTES = 8 * 1024 * 1024

#: Hours that a table's log goes back, until `compact` is told otherwise.
_LOG_HOURS = 168

#: Columns whose values hardly ever repeat: building a dictionary for them is work for nothing.
_UNIQUE_COLUMNS = ("event_id", "raw")


class NoTableError(RetaildError):
    key = "lake.no_table"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The lake has no table {name!r} yet.",
            hint="It comes with the first events, or with `retaildctl job run gold`.",
        )


class NoVersionError(RetaildError):
    key = "lake.no_version"

    def __init__(self, name: str, asked: object) -> None:
        super().__init__(
            f"The table {name!r} cannot be read as of {asked}.",
            hint=f"`retaildctl lake history {name}` lists its versions; files of old ones are "
            "removed after lake.vacuum_hours.",
        )


@dataclass(frozen=True, slots=True)
class Lake:
    """Tables are named `layer.table` (`silver.sale`) and live in `root/layer/table`."""

    root: Path

    def path(self, name: str) -> Path:
        layer, _, table = name.partition(".")
        return self.root / layer / table

    def exists(self, name: str) -> bool:
        return _has_commits(self.path(name))

    def names(self) -> list[str]:
        """All tables, sorted."""
        found = (p for p in self.root.glob("*/*") if _has_commits(p))
        return sorted(f"{p.parent.name}.{p.name}" for p in found)

    def table(self, name: str, version: int | datetime | None = None) -> DeltaTable:
        """Open a table, now or as it was at a version or a moment (with time zone).

        Raises NoTableError, and NoVersionError for what the table's log no longer knows.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if not self.exists(name):
            raise NoTableError(name)
        try:
            table = DeltaTable(str(self.path(name)))
            if version is not None:
                table.load_as_version(version)
        except DeltaError as error:
            if version is None:
                raise
            raise NoVersionError(name, version) from error
        return table

    def dataset(self, name: str, version: int | datetime | None = None) -> ds.Dataset:
        """The table for DuckDB, polars or Arrow; files are read when scanned."""
        return self.table(name, version).to_pyarrow_dataset()

    def version(self, name: str) -> int:
        return int(self.table(name).version())

    def committed(self, name: str, app_id: str) -> int | None:
        """The offset a writer last committed together with its rows; None before the first."""
        version = self.table(name).transaction_version(app_id) if self.exists(name) else None
        return None if version is None else int(version)

    def create(
        self,
        name: str,
        schema: pa.Schema,
        *,
        partition_by: str | None = None,
        configuration: Mapping[str, str] | None = None,
    ) -> DeltaTable:
        """Open a table, made if it is not there; columns it lacks are added to it as nullable."""
        from deltalake import DeltaTable

        if not self.exists(name):
            self.path(name).mkdir(parents=True, exist_ok=True)
            return DeltaTable.create(
                str(self.path(name)),
                schema,
                mode="ignore",
                partition_by=partition_by,
                configuration={_LOG_RETENTION: _hours(_LOG_HOURS), **(configuration or {})},
            )
        table = self.table(name)
        _add_columns(table, schema)
        return table

    def append(
        self,
        name: str,
        data: Any,
        *,
        app_id: str = "",
        offset: int = -1,
        table: DeltaTable | None = None,
        **options: Any,
    ) -> None:
        """Append Arrow data in one commit; with `app_id`, the offset is committed with the rows.

        `table` is an open handle of this table: it saves opening it and is brought up to date.
        """
        self._write(table or name, data, "append", app_id, offset, options)

    def overwrite(self, name: str, data: Any, **options: Any) -> int:
        """Replace the table's rows in one commit; earlier versions stay readable. New version."""
        self._write(name, data, "overwrite", "", -1, {"schema_mode": "overwrite", **options})
        return self.version(name)

    def replace(
        self,
        name: str,
        data: Any,
        where: str,
        *,
        app_id: str = "",
        offset: int = -1,
        table: DeltaTable | None = None,
    ) -> None:
        """Replace the rows for which the SQL predicate `where` holds, in one commit."""
        self._write(table or name, data, "overwrite", app_id, offset, {"predicate": where})

    def mark(self, table: DeltaTable, app_id: str, offset: int) -> None:
        """Commit an offset without rows."""
        table.update_incremental()
        table.create_write_transaction(
            [], "append", table.schema(), commit_properties=_commit(app_id, offset)
        )

    def delete(self, name: str, where: str) -> int:
        """Delete the rows for which the SQL predicate holds; how many there were."""
        metrics = self._again(
            name, lambda table: table.delete(where, commit_properties=_commit("", -1))
        )
        return int(metrics["num_deleted_rows"])

    def compact(self, name: str, keep_hours: int, *, remove: bool = True) -> dict[str, int]:
        """Make large files of small ones; drop files and log entries of versions older than that.

        Appends may go on meanwhile. Without `remove` nothing is dropped.
        """
        joined = self._again(name, lambda table: _joined(table, None))
        table = self.table(name)
        removed: list[str] = []
        if remove:
            removed = table.vacuum(
                retention_hours=keep_hours, dry_run=False, enforce_retention_duration=False,
                full=True,
            )  # fmt: skip
            _keep_log(table, keep_hours)
        return {
            "files_added": int(joined["numFilesAdded"]),
            "files_removed": int(joined["numFilesRemoved"]),
            "files_deleted": len(removed),
            "version": int(table.version()),
        }

    def join_small_files(self, table: DeltaTable) -> None:
        """Make files of at most SMALL_FILE_BYTES of smaller ones; larger ones are left alone.

        Raises deltalake's CommitFailedError if another writer replaced some: nothing has changed.
        """
        _joined(table, SMALL_FILE_BYTES)

    def _again(self, name: str, work: Callable[[DeltaTable], dict[str, Any]]) -> dict[str, Any]:
        """Do what replaces files, anew if another writer replaced the same ones meanwhile."""
        from deltalake.exceptions import CommitFailedError

        for _ in range(ATTEMPTS - 1):
            with suppress(CommitFailedError):
                return work(self.table(name))
        return work(self.table(name))

    def _write(
        self,
        target: DeltaTable | str,
        data: Any,
        mode: Any,
        app_id: str,
        offset: int,
        options: dict[str, Any],
    ) -> None:
        from deltalake import write_deltalake

        if isinstance(target, str):
            path = self.path(target)
            path.mkdir(parents=True, exist_ok=True)
            target = str(path)
        options.setdefault("writer_properties", writer_properties(data.schema))
        commit = _commit(app_id, offset)
        write_deltalake(target, data, mode=mode, commit_properties=commit, **options)


def _has_commits(path: Path) -> bool:
    """A table being created may have its directory and no first commit yet."""
    try:
        with os.scandir(path / "_delta_log") as entries:
            return any(entry.name[0].isdigit() for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def writer_properties(schema: pa.Schema) -> WriterProperties:
    """Parquet as the lake writes it: zstd at its fastest level takes snappy's time and half the
    space. Every column has its bounds, although few let a file be skipped: where they are missing,
    deltalake's Arrow dataset takes them for null and finds no row of that file."""
    from deltalake import ColumnProperties, WriterProperties

    unique = ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK")
    columns = {name: unique for name in _UNIQUE_COLUMNS if name in schema.names}
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        default_column_properties=ColumnProperties(statistics_enabled="CHUNK"),
        column_properties=columns or None,
    )


def _commit(app_id: str, offset: int) -> CommitProperties:
    from deltalake import CommitProperties, Transaction

    transactions = [Transaction(app_id, offset)] if app_id else None
    return CommitProperties(max_commit_retries=COMMIT_RETRIES, app_transactions=transactions)


def _arrow_schema(table: DeltaTable) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(table.schema().to_arrow())


def _add_columns(table: DeltaTable, schema: pa.Schema) -> None:
    from deltalake import Field, Schema

    known = {field.name for field in table.schema().fields}
    missing = [field.with_nullable(True) for field in schema if field.name not in known]
    if missing:
        import pyarrow as pa

        fields: list[Field] = list(Schema.from_arrow(pa.schema(missing)).fields)
        table.alter.add_columns(fields)


def _joined(table: DeltaTable, target: int | None) -> dict[str, Any]:
    metrics: dict[str, Any] = table.optimize.compact(
        target_size=target,
        writer_properties=writer_properties(_arrow_schema(table)),
        commit_properties=_commit("", -1),
    )
    return metrics


_LOG_RETENTION = "delta.logRetentionDuration"


def _hours(hours: int) -> str:
    return f"interval {hours} hours"


def _keep_log(table: DeltaTable, hours: int) -> None:
    """A log entry without its files is of no use: both are kept equally long."""
    if table.metadata().configuration.get(_LOG_RETENTION) != _hours(hours):
        table.alter.set_table_properties({_LOG_RETENTION: _hours(hours)})
    table.create_checkpoint()
    table.cleanup_metadata()
