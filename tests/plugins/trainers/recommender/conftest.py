"""A small shop with known habits, and its lake."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.sales import Sales, from_frame
from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer

from retaild.api import Lake, TrainingContext, TrainingResult
from retaild.events.arrow import arrow_schema
from retaild.pipeline.batch import batch_tables
from retaild.testing.trainer import TableFeatures

BEGIN = datetime(2024, 1, 1, 9, tzinfo=UTC)  # a Monday
WEEKS = 20

#: receipt, customer, day (after BEGIN), products
Receipt = tuple[str, str | None, float, list[str]]


def sale_table(receipts: Iterable[Receipt]) -> pa.Table:
    """Lines of silver.sale, each product once at 2.00."""
    rows: list[dict[str, Any]] = []
    for receipt, customer, day, products in receipts:
        rows += [
            {
                "event_id": f"{receipt}/{k}",
                "event_time": BEGIN + timedelta(days=day),
                "source": "test",
                "store": "main",
                "receipt_id": receipt,
                "product_id": product,
                "description": f"THE {product.upper()}",
                "quantity": Decimal(1),
                "unit_price": Decimal(2),
                "discount": Decimal(0),
                "amount": Decimal(2),
                "currency": "GBP",
                "customer_id": customer,
                "country": None if customer is None else "Germany",
                "line_type": "sale",
            }
            for k, product in enumerate(products)
        ]
    return pa.Table.from_pylist(rows, schema=arrow_schema("sale"))


def sales_of(receipts: Iterable[Receipt]) -> Sales:
    frame = pl.from_arrow(sale_table(receipts))
    assert isinstance(frame, pl.DataFrame)
    return from_frame(frame)


def shop(weeks: int = WEEKS, seed: int = 1, anonymous: bool = False) -> list[Receipt]:
    """A hundred customers. Each comes about once a week, with two habits and some chance:

    customer k buys its staple (staple-0..19) every other week, its hobby's pair
    (hobby-0..9-left and -right, always both) on one visit in three, and something of thirty
    extras that are the more popular the lower their number.
    """
    random = np.random.default_rng(seed)
    chance = 1.0 / (1.0 + np.arange(30))
    chance /= chance.sum()
    receipts: list[Receipt] = []
    for k in range(100):
        for week in range(weeks):
            if random.random() < 0.15:
                continue
            products = [f"extra-{e:02}" for e in set(random.choice(30, 3, p=chance).tolist())]
            if (week + k) % 2 == 0:
                products.append(f"staple-{k % 20}")
            if random.random() < 0.33:
                products += [f"hobby-{k % 10}-left", f"hobby-{k % 10}-right"]
            day = 7 * week + float(random.uniform(0, 4))
            who = None if anonymous or random.random() < 0.1 else f"c{k:03}"
            receipts.append((f"r{k:03}-{week:02}", who, day, products))
    return receipts


def fill(lake: Lake, table: pa.Table) -> Lake:
    """Write silver.sale and the snapshot tables that the features come from."""
    lake.overwrite("silver.sale", table)
    engine = duckdb.connect(config={"threads": 2})
    engine.execute("SET TimeZone = 'UTC'")
    engine.register("silver_sale", table)
    for step in batch_tables():
        if step.name in ("gold.product_snapshot", "gold.customer_snapshot"):
            lake.overwrite(step.name, engine.sql(step.sql).to_arrow_table())
    return lake


def context_for(lake: Lake, workdir: Path, **options: Any) -> TrainingContext:
    workdir.mkdir(parents=True, exist_ok=True)
    return TrainingContext(
        lake=lake, features=TableFeatures(lake), workdir=workdir, threads=2, **options
    )


@pytest.fixture(scope="session")
def shop_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return fill(Lake(tmp_path_factory.mktemp("shop")), sale_table(shop()))


@pytest.fixture(scope="session")
def small_config() -> RecommenderConfig:
    return RecommenderConfig(
        trees=60, learning_rate=0.15, label_windows=6, holdout_weeks=1, label_weeks=1
    )


@pytest.fixture(scope="session")
def make_sales() -> Callable[[Iterable[Receipt]], Sales]:
    return sales_of


@pytest.fixture(scope="session")
def make_shop() -> Callable[..., list[Receipt]]:
    return shop


@pytest.fixture(scope="session")
def make_lake() -> Callable[[Path, Iterable[Receipt]], Lake]:
    return lambda root, receipts: fill(Lake(root), sale_table(receipts))


@pytest.fixture(scope="session")
def fill_lake() -> Callable[[Lake, pa.Table], Lake]:
    return fill


@pytest.fixture(scope="session")
def make_context() -> Callable[..., TrainingContext]:
    return context_for


@pytest.fixture(scope="session")
def shop_result(
    shop_lake: Lake, small_config: RecommenderConfig, tmp_path_factory: pytest.TempPathFactory
) -> TrainingResult:
    context = context_for(shop_lake, tmp_path_factory.mktemp("trained"))
    return RecommenderTrainer(small_config).train(context)
