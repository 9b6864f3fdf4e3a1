"""Builds a base snapshot from the silver tables (and gold's names, categories and price history).

Runs in the job `materialize`, never in the server: DuckDB reads the Delta files through Arrow. The
definitions are those of the gold SQL files; `facts` applies the same to events one by one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retaild.api.lake import Lake
from retaild.events import arrow_schema
from retaild.pipeline.streams import PROGRESS_TABLE, STREAM_APP
from retaild.runtime.serving import base, snapshot_sql
from retaild.runtime.serving.customers import HISTORY, SCALE
from retaild.runtime.serving.facts import FAMILIES as SERVED
from retaild.runtime.serving.keys import line_keys, receipt_keys

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

#: Gold tables that give what silver does not say; absent before the first gold run.
_GOLD = ("gold.product", "gold.price_history")


@dataclass(frozen=True, slots=True)
class Cut:
    """Per family the log offset below which all its events are in the snapshot; none others are.

    Below `offset` this holds for all families: the log is read from there.
    """

    offset: int
    families: dict[str, int]
    versions: dict[str, int]


class Snapshot:
    """One build. `threads` limits DuckDB."""

    def __init__(self, lake: Lake, threads: int = 2) -> None:
        import duckdb

        self._lake = lake
        self._connection = duckdb.connect(":memory:", config={"threads": threads})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._arrays: dict[str, NDArray[Any]] = {}
        self._tables: dict[str, Any] = {}

    def build(self, folder: Path, keep: int = 2) -> dict[str, Any]:
        """Write the snapshot below `folder`, remove older ones; what it holds and took."""
        began = time.perf_counter()
        cut = self._register()
        for statement in snapshot_sql.PREPARE:
            self._connection.execute(statement)
        self._products()
        self._customers()
        self._purchases()
        self._history()
        self._activity()
        self._keys()
        meta = self._meta(cut, began)
        path = base.write_base(folder, cut.offset, self._tables, self._arrays)
        base.prune(folder, keep)
        return {**meta, "path": path.name, "seconds": round(time.perf_counter() - began, 3)}

    def close(self) -> None:
        self._connection.close()

    # -- input ---------------------------------------------------------------------------------

    def _register(self) -> Cut:
        # The marker first: the tables, opened after it, are at least as far.
        offset = self._lake.committed(PROGRESS_TABLE, STREAM_APP) or 0
        versions: dict[str, int] = {}
        families = {
            family: max(offset, self._register_silver(family, versions))
            for family in sorted(SERVED)
        }
        for name in _GOLD:
            self._register_gold(name, versions)
        return Cut(offset, families, versions)

    def _register_silver(self, family: str, versions: dict[str, int]) -> int:
        """Register `silver_<family>` and return its committed offset, of the same version."""
        name = f"silver.{family}"
        if not self._lake.exists(name):
            self._register_as(f"silver_{family}", _empty(family))
            return 0
        table = self._lake.table(name)
        versions[name] = int(table.version())
        self._register_as(f"silver_{family}", table.to_pyarrow_dataset())
        return int(table.transaction_version(STREAM_APP) or 0)

    def _register_gold(self, name: str, versions: dict[str, int]) -> None:
        view = name.replace(".", "_")
        if self._lake.exists(name):
            versions[name] = self._lake.version(name)
            self._register_as(view, self._lake.dataset(name, versions[name]))
        else:
            self._connection.execute(snapshot_sql.EMPTY[name])

    def _register_as(self, view: str, data: Any) -> None:
        self._connection.register(view, data)

    # -- output --------------------------------------------------------------------------------

    def _products(self) -> None:
        rows = self._rows(snapshot_sql.PRODUCTS)
        for name in ("stamps", "stock", "observed"):
            extra = dict(self._connection.execute(snapshot_sql.PRODUCT_LISTS[name]).fetchall())
            rows[name] = [extra.get(product_id) for product_id in rows["product_id"]]
        self._tables["products"] = rows
        self._tables["announced"] = self._records(snapshot_sql.ANNOUNCED)

    def _customers(self) -> None:
        rows = self._rows(snapshot_sql.CUSTOMERS)
        rows["revenue"] = [round(revenue * SCALE) for revenue in rows["revenue"]]
        self._tables["customers"] = rows
        self._customer_count = len(rows["customer_id"])

    def _purchases(self) -> None:
        columns = self._numpy(snapshot_sql.PURCHASES)
        self._arrays["purchase_start"] = self._starts(columns["customer"])
        self._arrays["purchase_product"] = columns["product"].astype(np.int32)
        self._arrays["purchase_times"] = columns["times"].astype(np.int32)
        for name in ("quantity", "first", "last"):
            self._arrays[f"purchase_{name}"] = columns[name].astype(np.float64)

    def _history(self) -> None:
        columns = self._numpy(snapshot_sql.HISTORY.format(limit=HISTORY))
        self._arrays["history_start"] = self._starts(columns["customer"])
        self._arrays["history_product"] = columns["product"].astype(np.int32)
        for name in ("time", "quantity", "unit_price", "amount"):
            self._arrays[f"history_{name}"] = columns[name].astype(np.float64)
        blob, start = base.pack(columns["receipt_id"].tolist())
        self._arrays["history_receipt"], self._arrays["history_receipt_start"] = blob, start

    def _activity(self) -> None:
        activity: dict[str, dict[str, list[Any]]] = {}
        for customer, product, moment in self._connection.execute(snapshot_sql.VIEWS).fetchall():
            held = activity.setdefault(customer, {"views": [], "actions": []})
            held["views"].append([product, moment])
        actions = self._connection.execute(snapshot_sql.ACTIONS).fetchall()
        for customer, moment, adds, product, quantity in actions:
            held = activity.setdefault(customer, {"views": [], "actions": []})
            held["actions"].append([moment, adds, product, quantity])
        self._tables["activity"] = activity

    def _keys(self) -> None:
        seen = self._numpy(snapshot_sql.SEEN)["key"]
        self._arrays["seen"] = np.sort(seen.astype(np.uint64))
        found = self._numpy(snapshot_sql.LINE_KEYS)
        customer, receipt, product = (
            found[name].astype(np.uint64) for name in ("customer", "receipt", "product")
        )
        self._arrays["line_keys"] = np.sort(line_keys(customer, receipt, product))
        self._arrays["receipt_keys"] = np.unique(receipt_keys(customer, receipt))

    def _meta(self, cut: Cut, began: float) -> dict[str, Any]:
        newest = self._connection.execute(snapshot_sql.NEWEST_SALE).fetchall()[0][0]
        meta = {
            "format": base.FORMAT,
            "offset": cut.offset,
            "cuts": cut.families,
            "versions": cut.versions,
            "created": time.time(),
            "newest_sale": float(newest or 0.0),
            "products": len(self._tables["products"]["product_id"]),
            "customers": self._customer_count,
            "events": len(self._arrays["seen"]),
            "query_seconds": round(time.perf_counter() - began, 3),
        }
        self._tables["meta"] = meta
        return meta

    # -- plumbing ------------------------------------------------------------------------------

    def _cursor(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql)

    def _rows(self, sql: str) -> dict[str, list[Any]]:
        cursor = self._cursor(sql)
        names = [column[0] for column in cursor.description]
        found = cursor.fetchall()
        if not found:
            return {name: [] for name in names}
        return {
            name: list(column) for name, column in zip(names, zip(*found, strict=True), strict=True)
        }

    def _records(self, sql: str) -> list[dict[str, Any]]:
        columns = self._rows(sql)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _numpy(self, sql: str) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = self._cursor(sql).fetchnumpy()
        return {name: np.ma.getdata(column) for name, column in found.items()}

    def _starts(self, customers: NDArray[Any]) -> NDArray[np.int64]:
        """Row ranges per customer of arrays sorted by customer."""
        counts = np.bincount(customers.astype(np.int64), minlength=self._customer_count)
        start = np.zeros(self._customer_count + 1, np.int64)
        np.cumsum(counts, out=start[1:])
        return start


def _empty(family: str) -> Any:
    import pyarrow as pa

    schema = arrow_schema(family).append(pa.field("_offset", pa.int64()))
    return schema.empty_table()
