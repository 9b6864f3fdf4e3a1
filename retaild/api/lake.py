"""The lake: Delta tables below one directory. The one place that opens them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retaild.api.errors import RetaildError

if TYPE_CHECKING:
    import pyarrow.dataset as ds
    from deltalake import DeltaTable

#: Appends and compaction meet on one table: a commit that lost the race is tried again.
COMMIT_RETRIES = 500


class NoTableError(RetaildError):
    key = "lake.no_table"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The lake has no table {name!r} yet.",
            hint="It comes with the first events, or with `retaildctl job run gold`.",
        )


@dataclass(frozen=True, slots=True)
class Lake:
    """Tables are named `layer.table` (`silver.sale`) and live in `root/layer/table`."""

    root: Path

    def path(self, name: str) -> Path:
        layer, _, table = name.partition(".")
        return self.root / layer / table

    def exists(self, name: str) -> bool:
        return (self.path(name) / "_delta_log").is_dir()

    def names(self) -> list[str]:
        """All tables, sorted."""
        logs = self.root.glob("*/*/_delta_log")
        return sorted(f"{p.parent.parent.name}.{p.parent.name}" for p in logs)

    def table(self, name: str, version: int | None = None) -> DeltaTable:
        """Open a table, now or as it was at `version`; raises NoTableError."""
        from deltalake import DeltaTable

        if not self.exists(name):
            raise NoTableError(name)
        return DeltaTable(str(self.path(name)), version=version)

    def dataset(self, name: str, version: int | None = None) -> ds.Dataset:
        """The table for DuckDB, polars or Arrow; files are read when scanned."""
        return self.table(name, version).to_pyarrow_dataset()

    def version(self, name: str) -> int:
        return int(self.table(name).version())

    def committed(self, name: str, app_id: str) -> int | None:
        """The offset a writer last committed together with its rows; None before the first."""
        version = self.table(name).transaction_version(app_id) if self.exists(name) else None
        return None if version is None else int(version)

    def append(
        self, name: str, data: Any, *, app_id: str = "", offset: int = -1, **options: Any
    ) -> None:
        """Append Arrow data in one commit; with `app_id`, the offset is committed with the rows."""
        self._write(name, data, "append", app_id, offset, options)

    def overwrite(self, name: str, data: Any, **options: Any) -> int:
        """Replace the table's rows in one commit; earlier versions stay readable. New version."""
        self._write(name, data, "overwrite", "", -1, {"schema_mode": "overwrite", **options})
        return self.version(name)

    def _write(
        self, name: str, data: Any, mode: Any, app_id: str, offset: int, options: dict[str, Any]
    ) -> None:
        from deltalake import CommitProperties, Transaction, write_deltalake

        self.path(name).mkdir(parents=True, exist_ok=True)
        transactions = [Transaction(app_id, offset)] if app_id else None
        commit = CommitProperties(max_commit_retries=COMMIT_RETRIES, app_transactions=transactions)
        write_deltalake(str(self.path(name)), data, mode=mode, commit_properties=commit, **options)
