"""What people want to know of the lake's tables: sizes, versions, rows as they are or were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retaild.api.errors import RetaildError
from retaild.api.lake import Lake

if TYPE_CHECKING:
    from deltalake import DeltaTable

#: Operations that the lake's own upkeep adds to a table's history.
_METRIC_NAMES = {
    "rows_added": ("num_added_rows",),
    "files_added": ("num_added_files", "numFilesAdded"),
    "files_removed": ("num_removed_files", "numFilesRemoved"),
}


class BadConditionError(RetaildError):
    key = "lake.bad_condition"

    def __init__(self, condition: str, reason: str) -> None:
        super().__init__(
            f"The condition {condition!r} cannot be evaluated: {reason}",
            hint="Write SQL over the table's columns, such as: quantity > 10 AND store = 'main'.",
        )


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table now. `updated`: seconds since the epoch of its newest version."""

    name: str
    version: int
    rows: int
    files: int
    bytes: int
    updated: float | None


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of a table's history; figures are None where the operation does not say."""

    version: int
    at: float
    operation: str
    parameters: dict[str, Any]
    rows_added: int | None
    files_added: int | None
    files_removed: int | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table at a version, and how many there are."""

    table: str
    version: int
    rows: list[dict[str, Any]]
    total: int


def tables(lake: Lake) -> list[TableFacts]:
    """All tables, sorted by name. Reads the tables' logs, no data."""
    return [table_facts(lake, name) for name in lake.names()]


def table_facts(lake: Lake, name: str) -> TableFacts:
    """Raises NoTableError."""
    import pyarrow as pa

    table = lake.table(name)
    files = pa.table(table.get_add_actions(flatten=True))
    last = table.history(1)
    return TableFacts(
        name=name,
        version=int(table.version()),
        rows=sum(rows or 0 for rows in files["num_records"].to_pylist()),
        files=files.num_rows,
        bytes=sum(files["size_bytes"].to_pylist()),
        updated=last[0]["timestamp"] / 1000 if last else None,
    )


def show(
    lake: Lake,
    name: str,
    version: int | datetime | None = None,
    limit: int = 10,
    where: str = "",
) -> Rows:
    """Rows of a table as it is, or as it was at a version or a moment (with time zone).

    `where` is a SQL condition over its columns. Raises NoTableError, NoVersionError,
    BadConditionError.
    """
    import duckdb

    table: DeltaTable = lake.table(name, version)
    dataset = table.to_pyarrow_dataset()
    if not where:
        rows, total = dataset.head(limit).to_pylist(), dataset.count_rows()
        return Rows(name, int(table.version()), rows, total)
    with duckdb.connect() as connection:
        # A condition is no place to read or write files.
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.register("chosen", dataset)
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        try:
            selected = connection.sql("FROM chosen").filter(where)
            rows = selected.limit(limit).to_arrow_table().to_pylist()
            total = int(selected.count("*").fetchall()[0][0])
        except duckdb.Error as error:
            raise BadConditionError(where, str(error).splitlines()[0]) from None
    return Rows(name, int(table.version()), rows, total)


def history(lake: Lake, name: str, limit: int | None = None) -> list[Version]:
    """Versions of a table, newest first. Raises NoTableError."""
    return [_version(entry) for entry in lake.table(name).history(limit)]


def _version(entry: dict[str, Any]) -> Version:
    metrics = entry.get("operationMetrics") or {}
    figures = {
        name: next((int(metrics[key]) for key in keys if str(metrics.get(key)).isdecimal()), None)
        for name, keys in _METRIC_NAMES.items()
    }
    return Version(
        version=int(entry["version"]),
        at=entry["timestamp"] / 1000,
        operation=str(entry.get("operation", "")),
        parameters=entry.get("operationParameters") or {},
        **figures,
    )
