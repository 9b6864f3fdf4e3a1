"""Gold on Spark is gold on DuckDB, row by row, from a real shop's tills."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from retaild_plugins.batch.duckdb.config import DuckDBConfig
from retaild_plugins.batch.duckdb.engine import DuckDBEngine
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog
from retaild_plugins.cluster.spark.batch import SparkEngine
from retaild_plugins.cluster.spark.config import SparkConfig
from retaild_plugins.sources.tabular.plugin import retaild_sources
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BatchEngine, BuildContext, Lake
from retaild.events import Customer, Price, Product, Stock
from retaild.pipeline.batch import batch_tables
from retaild.runtime.ingest_append import append_batch
from retaild.testing.stream import carry, entry

ContextOn = Callable[[Path], BuildContext]

#: Every thirtieth line of the year: all products, customers and months, some 18,000 lines.
SLICE = 30

#: What a row is known by; the other columns are compared.
KEYS = {
    "gold.product": ("product_id",),
    "gold.customer": ("customer_id",),
    "gold.product_day": ("product_id", "day"),
    "gold.product_week": ("product_id", "week"),
    "gold.customer_product": ("customer_id", "product_id"),
    "gold.price_history": ("product_id", "valid_from", "kind"),
    "gold.customer_snapshot": ("customer_id", "event_timestamp"),
    "gold.product_snapshot": ("product_id", "event_timestamp"),
}
CONFIG = {
    "columns": {
        "receipt_id": "InvoiceNo", "product_id": "StockCode", "description": "Description",
        "quantity": "Quantity", "unit_price": "UnitPrice", "event_time": "InvoiceDate",
        "customer_id": "CustomerID", "country": "Country",
    },
    "lines": {"return_receipt": "^C", "product": r"^\d{5}[A-Za-z]*$"},
}  # fmt: skip


def filled(root: Path, tills: Path) -> Lake:
    """Silver of the tills, and of a few facts that tills do not tell."""
    (spec,) = retaild_sources()
    context = BuildContext("tills", root, root / "lake", timezone="Europe/London")
    log = EmbeddedLog(EmbeddedLogConfig(sync=False), root / "log")
    log.open()
    source = spec.build(spec.config.model_validate({"path": tills, **CONFIG}), context)
    source.open(None)
    while (batch := source.poll()) is not None:
        assert append_batch(log, batch).dead == 0
    source.close()
    common: dict[str, Any] = {"event_time": datetime(2011, 11, 7, 9, tzinfo=UTC), "source": "erp"}
    for fact in (
        Product(event_id="1", product_id="85123A", name="Heart",
                unit_cost=Decimal("1.1"), **common),
        Stock(event_id="2", product_id="85123A", on_hand=Decimal("99.5"), **common),
        Price(event_id="3", product_id="22423", price=Decimal("9.99"), currency="GBP",
              valid_from=common["event_time"], **common),
        Customer(event_id="4", customer_id="17850", segment="gold", consent=True, **common),
    ):  # fmt: skip
        log.append([entry(fact)])
    stream = EmbeddedProcessor(EmbeddedStreamConfig(), context)
    stream.open(log)
    carry(stream, log)
    stream.close()
    log.close()
    return Lake(root / "lake")


def gold(engine: BatchEngine, lake: Lake) -> dict[str, list[dict[str, Any]]]:
    engine.open()
    try:
        engine.run(batch_tables())
    finally:
        engine.close()
    return {
        table.name: sorted(
            lake.dataset(table.name).to_table().to_pylist(),
            key=lambda row: [str(row[column]) for column in KEYS[table.name]],
        )
        for table in batch_tables()
    }


def compared(lake: Lake, context: BuildContext) -> None:
    """Equal to the last digit; floats to the last but a few, as sums run in another order."""
    plain = gold(DuckDBEngine(DuckDBConfig(), context), lake)
    schemas = {name: lake.dataset(name).schema for name in plain}
    spark = gold(SparkEngine(SparkConfig(), context), lake)
    for name, rows in plain.items():
        assert rows, name
        assert lake.dataset(name).schema.equals(schemas[name]), name
        assert len(spark[name]) == len(rows), name
        for ours, theirs in zip(spark[name], rows, strict=True):
            assert ours.keys() == theirs.keys()
            wrong = {
                key: (ours[key], theirs[key]) for key in ours if _differ(ours[key], theirs[key])
            }
            assert not wrong, (name, [ours[key] for key in KEYS[name]], wrong)


def _differ(ours: object, theirs: object) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return not math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-12)
    return ours != theirs


def test_a_slice_of_the_year(context_on: ContextOn, online_retail: Path, tmp_path: Path) -> None:
    lines = pq.read_table(online_retail)
    pq.write_table(lines.take(list(range(0, lines.num_rows, SLICE))), tmp_path / "tills.parquet")
    os.utime(
        tmp_path / "tills.parquet", (0, 0)
    )  # new files are waited for: they may be being written
    lake = filled(tmp_path, tmp_path / "tills.parquet")
    compared(lake, context_on(lake.root))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_year(context_on: ContextOn, online_retail: Path, tmp_path: Path) -> None:
    lake = filled(tmp_path, online_retail)
    compared(lake, context_on(lake.root))
