"""Features of the past do not know the future: planted events, and a count by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from retaild_plugins.features.feast import plugin

from retaild.api import BuildContext, FeatureBackend, Lake
from retaild.pipeline.batch import batch_tables
from retaild.pipeline.feature_views import CUSTOMER, FEATURE_VIEWS, PRODUCT

# ibis still calls a method of DuckDB that DuckDB has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

FIRST = datetime(2024, 1, 3, 9, tzinfo=UTC)
DAYS = 160
#: Nothing after this moment may show in a feature of this moment or before.
NOW = FIRST + timedelta(days=110)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Line:
    """A line of silver.sale, as far as features look at it."""

    customer_id: str | None
    product_id: str
    receipt_id: str
    event_time: datetime
    quantity: float
    amount: float
    line_type: str
    store: str = "main"


def shop_year() -> list[Line]:
    """Receipts of 25 customers and of strangers over 30 products; some lines are returns."""
    random = np.random.default_rng(11)
    lines = []
    for number in range(700):
        moment = FIRST + timedelta(seconds=int(random.integers(0, DAYS * 86_400)))
        who = int(random.integers(0, 30))
        customer = f"c{who}" if who < 25 else None
        for product in random.choice(30, size=int(random.integers(1, 6)), replace=False):
            back = random.random() < 0.06
            quantity = float(random.integers(1, 9)) * (-1 if back else 1)
            price = 1.25 + int(product) * (1 if random.random() < 0.8 else 0.75)
            lines.append(
                Line(
                    customer, f"p{product}", f"r{number}", moment, quantity, quantity * price,
                    "return" if back else "sale",
                )
            )  # fmt: skip
    return lines


def absurd_future() -> list[Line]:
    """After NOW everyone buys, and returns, ten thousand of everything; strangers come too."""
    return [
        Line(
            f"c{who}", f"p{product}", f"absurd-{who}-{kind}", NOW + timedelta(seconds=1 + who),
            sign * 10_000.0, sign * 9_999_999.0, kind,
        )
        for who in range(60)
        for product in range(50)
        for kind, sign in (("sale", 1), ("return", -1))
    ]  # fmt: skip


def build_snapshots(lake: Lake, lines: list[Line]) -> None:
    """The gold snapshot tables, by their own SQL."""
    rows = [{name: getattr(line, name) for name in Line.__dataclass_fields__} for line in lines]
    schema = pa.schema(
        [
            ("customer_id", pa.string()), ("product_id", pa.string()),
            ("receipt_id", pa.string()), ("event_time", pa.timestamp("us", tz="UTC")),
            ("quantity", pa.float64()), ("amount", pa.float64()), ("line_type", pa.string()),
            ("store", pa.string()),
        ]
    )  # fmt: skip
    sale = pa.Table.from_pylist(rows, schema=schema)
    sale = sale.set_column(4, "quantity", sale["quantity"].cast(pa.decimal128(18, 3)))
    sale = sale.set_column(5, "amount", sale["amount"].cast(pa.decimal128(18, 4)))
    wanted = {view.table for view in FEATURE_VIEWS}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("silver_sale", sale)
        for table in batch_tables():
            if table.name in wanted:
                lake.overwrite(table.name, connection.sql(table.sql).to_arrow_table())


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("leakage") / "lake")
    build_snapshots(lake, shop_year())
    return lake


@pytest.fixture(scope="module")
def backend(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureBackend]:
    (spec,) = plugin.retaild_feature_backends()
    root = tmp_path_factory.mktemp("features")
    context = BuildContext(instance="features", state_dir=root, lake_dir=lake.root)
    backend: FeatureBackend = spec.build(spec.config(), context)
    backend.open()
    backend.apply(FEATURE_VIEWS)
    yield backend
    backend.close()


def past_rows(count: int) -> pa.Table:
    """Customers, products and moments up to NOW, as a training set has them."""
    random = np.random.default_rng(5)
    seconds = int((NOW - FIRST).total_seconds())
    moments = [FIRST + timedelta(seconds=int(random.integers(0, seconds))) for _ in range(count)]
    moments[0] = NOW
    return pa.table(
        {
            "customer_id": [f"c{i}" for i in random.integers(0, 27, count)],
            "product_id": [f"p{i}" for i in random.integers(0, 32, count)],
            "event_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
        }
    )


def test_an_absurd_future_changes_nothing_before_it(lake: Lake, backend: FeatureBackend) -> None:
    wanted = [*CUSTOMER.references, *PRODUCT.references]
    rows = past_rows(3000)
    before = backend.historical(rows, wanted)
    assert before["customer__receipts"].null_count < 1000
    build_snapshots(lake, shop_year() + absurd_future())
    try:
        after = backend.historical(rows, wanted)
        # The plant is there: the day after, everything is absurd.
        later = rows.slice(0, 1).set_column(
            2, "event_timestamp", pa.array([NOW + 8 * DAY], pa.timestamp("us", tz="UTC"))
        )
        assert backend.historical(later, wanted)["customer__revenue"].to_pylist()[0] > 9_999_999
    finally:
        build_snapshots(lake, shop_year())
    assert after.equals(before)


def test_features_are_what_a_count_by_hand_gives(backend: FeatureBackend) -> None:
    lines = shop_year()
    rows = past_rows(150)
    joined = backend.historical(rows, [*CUSTOMER.references, *PRODUCT.references])
    seen = 0
    for row in joined.to_pylist():
        moment = row["event_timestamp"]
        monday = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        monday -= timedelta(days=monday.weekday())
        past = [line for line in lines if line.event_time < monday]
        by_hand = {
            **{f"customer__{k}": v for k, v in customer(past, row["customer_id"], monday).items()},
            **{f"product__{k}": v for k, v in product(past, row["product_id"], monday).items()},
        }
        assert _known(row, by_hand) == pytest.approx(_known(by_hand, by_hand), rel=1e-9, abs=1e-9)
        assert {n for n in by_hand if row[n] is None} == {n for n in by_hand if by_hand[n] is None}
        seen += row["customer__receipts"] is not None and row["product__units_7d"] is not None
    assert seen > 100


def _known(row: dict[str, Any], names: Iterable[str]) -> dict[str, float]:
    return {name: row[name] for name in names if row[name] is not None}


def _days(span: timedelta) -> float:
    return span.total_seconds() / 86_400


def _receipts(lines: list[Line]) -> dict[str, datetime]:
    return {line.receipt_id: line.event_time for line in lines}


def customer(past: list[Line], who: str, now: datetime) -> dict[str, float | None]:
    """Every column of gold.customer_snapshot, straight from the lines."""
    sold = [line for line in past if line.customer_id == who and line.line_type == "sale"]
    back = [line for line in past if line.customer_id == who and line.line_type == "return"]
    if not sold:
        return dict.fromkeys((feature.name for feature in CUSTOMER.features), None)
    times = sorted(_receipts(sold).values())
    recent = [line for line in sold if line.event_time >= now - 28 * DAY]
    bought = {(line.receipt_id, line.product_id) for line in sold}
    products = {line.product_id for line in sold}
    gaps = [_days(b - a) for a, b in pairwise(times)]
    revenue = sum(line.amount for line in sold)
    return {
        "receipts": len(times),
        "lines": len(sold),
        "distinct_products": len(products),
        "revenue": revenue,
        "mean_basket_value": revenue / len(times),
        "mean_basket_lines": len(sold) / len(times),
        "days_since_last": _days(now - times[-1]),
        "days_since_first": _days(now - times[0]),
        "mean_gap_days": sum(gaps) / len(gaps) if gaps else None,
        "return_share": len(back) / (len(back) + len(sold)),
        "repeat_share": (len(bought) - len(products)) / len(bought),
        "receipts_28d": len(_receipts(recent)),
        "revenue_28d": sum(line.amount for line in recent),
        "distinct_28d": len({line.product_id for line in recent}),
    }


def product(past: list[Line], which: str, now: datetime) -> dict[str, float | None]:
    """Every column of gold.product_snapshot, straight from the lines."""
    sold = [line for line in past if line.product_id == which and line.line_type == "sale"]
    if not sold:
        return dict.fromkeys((feature.name for feature in PRODUCT.features), None)

    def within(newest: int, oldest: int) -> list[Line]:
        since, until = now - oldest * DAY, now - newest * DAY
        return [line for line in sold if since <= line.event_time < until]

    def units(lines: list[Line]) -> float:
        return sum(line.quantity for line in lines)

    def price(lines: list[Line]) -> float | None:
        return sum(line.amount for line in lines) / units(lines) if lines else None

    def customers(lines: list[Line]) -> int:
        return len({line.customer_id for line in lines if line.customer_id})

    week, month, quarter, before = within(0, 7), within(0, 28), within(0, 91), within(28, 56)
    known = [line for line in sold if line.customer_id]
    pairs, first_times = len(_receipts(known)), customers(known)
    short, long = price(week), price(quarter)
    both = units(month) + units(before)
    return {
        "units_7d": units(week),
        "units_28d": units(month),
        "units_91d": units(quarter),
        "receipts_28d": len(_receipts(month)),
        "customers_28d": customers(month),
        "customers_91d": customers(quarter),
        "repeat_share": (pairs - first_times) / pairs if pairs else None,
        "avg_price_28d": price(month),
        "price_ratio": short / long if short and long else None,
        "days_since_first": _days(now - min(line.event_time for line in sold)),
        "days_since_last": _days(now - max(line.event_time for line in sold)),
        "trend": (units(month) - units(before)) / both if both else 0.0,
    }
