"""Snapshots know nothing of what came after: by brute force, and by taking the future away."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from retaild_plugins.batch.duckdb.config import DuckDBConfig
from retaild_plugins.batch.duckdb.engine import DuckDBEngine

import retaild.demo
from retaild.api import BuildContext, Lake
from retaild.pipeline.batch import batch_tables
from retaild.pipeline.streams import silver_schemas

ONLINE_RETAIL = Path(retaild.demo.__file__).parent / "data" / "online_retail.parquet"
SNAPSHOTS = ("gold.customer_snapshot", "gold.product_snapshot")

Line = dict[str, Any]
Row = dict[str, Any]

#: Lines of 40 customers, and all lines of 40 products, picked by a hash.
_SAMPLE = """
SELECT
    md5(concat(InvoiceNo, '|', StockCode, '|', rn)) AS event_id,
    InvoiceDate AT TIME ZONE 'Europe/London' AS event_time,
    InvoiceNo AS receipt_id, StockCode AS product_id, Description AS description,
    CAST(Quantity AS DECIMAL(18, 3)) AS quantity, CAST(UnitPrice AS DECIMAL(18, 4)) AS unit_price,
    CAST(Quantity * CAST(UnitPrice AS DECIMAL(18, 4)) AS DECIMAL(18, 4)) AS amount,
    CAST(CAST(CustomerID AS BIGINT) AS VARCHAR) AS customer_id, Country AS country,
    CASE WHEN UnitPrice <= 0 THEN 'adjustment'
        WHEN NOT regexp_matches(StockCode, '^[0-9]{5}[A-Za-z]*$') THEN 'service'
        WHEN Quantity < 0 THEN 'return' ELSE 'sale' END AS line_type
FROM (SELECT *, row_number() OVER () AS rn FROM sales)
WHERE CustomerID IN (SELECT CustomerID FROM sales WHERE CustomerID IS NOT NULL
        GROUP BY 1 ORDER BY hash(CustomerID) LIMIT 40)
    OR StockCode IN (SELECT StockCode FROM sales GROUP BY 1 ORDER BY hash(StockCode) LIMIT 40)
ORDER BY rn
"""


@pytest.fixture(scope="module")
def lines() -> pa.Table:
    """Rows of silver.sale."""
    schema = silver_schemas()["silver.sale"]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("sales", pq.read_table(ONLINE_RETAIL))
        sample = connection.sql(_SAMPLE).to_arrow_table()
    rest: dict[str, Any] = {"source": "test", "store": "main", "currency": "GBP"}
    rest |= {"discount": Decimal(0), "_offset": 0}
    columns = {name: sample[name] for name in sample.column_names}
    for name, value in rest.items():
        columns[name] = pa.array([value] * sample.num_rows, schema.field(name).type)
    columns["_appended_at"] = sample["event_time"]
    return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[pa.Table], dict[str, list[Row]]]:
    def work(lines: pa.Table) -> dict[str, list[Row]]:
        root = tmp_path_factory.mktemp("lake")
        lake = Lake(root / "lake")
        lake.overwrite("silver.sale", lines)
        engine = DuckDBEngine(DuckDBConfig(), BuildContext("batch", root, lake.root))
        engine.open()
        engine.run([table for table in batch_tables() if table.name in SNAPSHOTS])
        engine.close()
        return {name: lake.dataset(name).to_table().to_pylist() for name in SNAPSHOTS}

    return work


@pytest.fixture(scope="module")
def snapshots(
    lines: pa.Table, build: Callable[[pa.Table], dict[str, list[Row]]]
) -> dict[str, list[Row]]:
    return build(lines)


def by(key: str, lines: pa.Table, *types: str) -> dict[str, list[Line]]:
    """Lines of the types per value of the column, in order of time."""
    found: dict[str, list[Line]] = {}
    for line in lines.to_pylist():
        if line["line_type"] in types and line[key] is not None:
            found.setdefault(line[key], []).append(line)
    for own in found.values():
        own.sort(key=lambda line: line["event_time"])
    return found


def days(later: datetime, earlier: datetime) -> float:
    return (later - earlier) / timedelta(days=1)


def near(row: Row, expected: dict[str, Any]) -> None:
    """pytest.approx does the same, too slowly for some hundred thousand values."""
    for name, value in expected.items():
        if value is None:
            assert row[name] is None, (name, row)
        else:
            assert math.isclose(row[name], value, rel_tol=1e-9, abs_tol=1e-9), (name, value, row)


def receipts_of(lines: list[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line["receipt_id"], []).append(line)
    return found


def customer_by_force(lines: list[Line], moment: datetime) -> dict[str, Any]:
    """The columns of gold.customer_snapshot, straight from the header of its SQL file.

    A receipt counts at the time of its first line, as it says there (some are written over a
    minute's end); everything of it then belongs to it.
    """
    before = [line for line in lines if line["event_time"] < moment]
    sales = [line for line in before if line["line_type"] == "sale"]
    returns = len(before) - len(sales)
    receipts = receipts_of(sales)
    times = sorted(min(line["event_time"] for line in own) for own in receipts.values())
    start = moment - timedelta(days=28)
    recent = [own for own in receipts.values() if min(li["event_time"] for li in own) >= start]
    pairs = {(line["receipt_id"], line["product_id"]) for line in sales}
    products = {product for _, product in pairs}
    count = len(receipts)
    revenue = float(sum(line["amount"] for line in sales))
    return {
        "receipts": count,
        "lines": len(sales),
        "distinct_products": len(products),
        "revenue": revenue,
        "mean_basket_value": revenue / count,
        "mean_basket_lines": len(sales) / count,
        "days_since_last": days(moment, times[-1]),
        "days_since_first": days(moment, times[0]),
        "mean_gap_days": days(times[-1], times[0]) / (count - 1) if count > 1 else None,
        "return_share": returns / (returns + len(sales)),
        "repeat_share": (len(pairs) - len(products)) / len(pairs),
        "receipts_28d": len(recent),
        "revenue_28d": float(sum(line["amount"] for own in recent for line in own)),
        "distinct_28d": len({line["product_id"] for own in recent for line in own}),
    }


def product_by_force(lines: list[Line], moment: datetime) -> dict[str, Any]:
    """The columns of gold.product_snapshot, straight from the header of its SQL file."""
    receipts = receipts_of([line for line in lines if line["event_time"] < moment])
    bought = [
        {
            "at": min(line["event_time"] for line in own),
            "units": float(sum(line["quantity"] for line in own)),
            "revenue": float(sum(line["amount"] for line in own)),
            "customer": own[0]["customer_id"],
        }
        for own in receipts.values()
    ]

    def within(first: int, last: int = 0) -> list[dict[str, Any]]:
        start, end = moment - timedelta(days=first), moment - timedelta(days=last)
        return [one for one in bought if start <= one["at"] < end]

    def total(some: list[dict[str, Any]], name: str) -> float:
        return float(sum(one[name] for one in some))

    def price(some: list[dict[str, Any]]) -> float | None:
        units = total(some, "units")
        return total(some, "revenue") / units if units else None

    def customers(some: list[dict[str, Any]]) -> int:
        return len({one["customer"] for one in some} - {None})

    week, month, quarter = within(7), within(28), within(91)
    known = [one for one in bought if one["customer"] is not None]
    now, then = total(month, "units"), total(within(56, 28), "units")
    return {
        "units_7d": total(week, "units"),
        "units_28d": now,
        "units_91d": total(quarter, "units"),
        "receipts_28d": len(month),
        "customers_28d": customers(month),
        "customers_91d": customers(quarter),
        "repeat_share": (len(known) - customers(known)) / len(known) if known else None,
        "avg_price_28d": price(month),
        "price_ratio": price(week) / price(quarter) if week else None,  # type: ignore[operator]
        "days_since_first": days(moment, min(one["at"] for one in bought)),
        "days_since_last": days(moment, max(one["at"] for one in bought)),
        "trend": (now - then) / (now + then) if now + then else 0.0,
    }


def mondays_after(first: datetime, end: datetime) -> list[datetime]:
    """The Mondays 00:00 UTC after `first` and before `end`, then `end`."""
    midnight = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=first.weekday())
    found = []
    while (monday := monday + timedelta(days=7)) < end:
        found.append(monday)
    return [*found, end]


def end_of(lines: pa.Table) -> datetime:
    sales = by("store", lines, "sale")["main"]
    end: datetime = sales[-1]["event_time"] + timedelta(seconds=1)
    return end


def test_customers_by_brute_force(lines: pa.Table, snapshots: dict[str, list[Row]]) -> None:
    own = by("customer_id", lines, "sale", "return")
    rows: dict[str, list[Row]] = {}
    for row in sorted(snapshots["gold.customer_snapshot"], key=lambda r: r["event_timestamp"]):
        rows.setdefault(row["customer_id"], []).append(row)
    chosen = sorted(own, key=lambda customer: -len(own[customer]))[:10] + sorted(own)[:40]
    for customer in chosen:
        sales = [line for line in own[customer] if line["line_type"] == "sale"]
        if not sales:
            assert customer not in rows
            continue
        moments = mondays_after(sales[0]["event_time"], end_of(lines))
        assert [row["event_timestamp"] for row in rows[customer]] == moments
        for row in rows[customer]:
            near(row, customer_by_force(own[customer], row["event_timestamp"]))


def test_products_by_brute_force(lines: pa.Table, snapshots: dict[str, list[Row]]) -> None:
    own = by("product_id", lines, "sale")
    rows: dict[str, list[Row]] = {}
    for row in sorted(snapshots["gold.product_snapshot"], key=lambda r: r["event_timestamp"]):
        rows.setdefault(row["product_id"], []).append(row)
    assert set(rows) == set(own)
    chosen = sorted(own, key=lambda product: -len(own[product]))[:10] + sorted(own)[:50]
    for product in chosen:
        moments = mondays_after(own[product][0]["event_time"], end_of(lines))
        assert [row["event_timestamp"] for row in rows[product]] == moments
        for row in rows[product]:
            near(row, product_by_force(own[product], row["event_timestamp"]))


@pytest.mark.parametrize("moment", ["2011-01-31", "2011-06-06", "2011-11-14"])
def test_nothing_changes_when_the_future_is_taken_away(
    lines: pa.Table,
    snapshots: dict[str, list[Row]],
    build: Callable[[pa.Table], dict[str, list[Row]]],
    moment: str,
) -> None:
    """Rows up to a Monday are the same whether or not what happens from then on is known."""
    cut = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    times = lines["event_time"].to_pylist()
    past = build(lines.filter(pa.array([time < cut for time in times])))
    for name in SNAPSHOTS:
        key = name.removeprefix("gold.").removesuffix("_snapshot") + "_id"

        def monday_rows(rows: list[Row], key: str = key) -> dict[Any, Row]:
            # The last moment of a build is its own end, and no Monday.
            return {
                (row[key], row["event_timestamp"]): row
                for row in rows
                if row["event_timestamp"] < cut and row["event_timestamp"].hour == 0
            }

        expected, found = monday_rows(snapshots[name]), monday_rows(past[name])
        assert len(found) > 100
        assert found == expected
