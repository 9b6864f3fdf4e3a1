"""A year of a real shop, from its file through the door to silver: exact to the penny, and once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog
from retaild_plugins.sources.tabular.plugin import retaild_sources
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BuildContext, Lake, StreamProgress
from retaild.runtime.ingest_append import append_batch
from retaild.testing.stream import carry

#: data/README.md of the shared data: published counts and the sum of Quantity x UnitPrice.
LINES, TOTAL = 541_909, Decimal("9747747.934")

CONFIG = {
    "columns": {
        "receipt_id": "InvoiceNo",
        "product_id": "StockCode",
        "description": "Description",
        "quantity": "Quantity",
        "unit_price": "UnitPrice",
        "event_time": "InvoiceDate",
        "customer_id": "CustomerID",
        "country": "Country",
    },
    "lines": {"return_receipt": "^C", "product": r"^\d{5}[A-Za-z]*$"},
}


class Shop:
    def __init__(self, root: Path, tills: Path) -> None:
        self.root, self.tills, self.lake = root, tills, Lake(root / "lake")
        self.log = EmbeddedLog(EmbeddedLogConfig(sync=False), root / "log")
        self.log.open()

    def take_in(self) -> StreamProgress:
        """Import the whole file anew and carry it."""
        (spec,) = retaild_sources()
        config = spec.config.model_validate({"path": self.tills, **CONFIG})
        context = BuildContext("tills", self.root, self.lake.root, timezone="Europe/London")
        source = spec.build(config, context)
        source.open(None)
        while (batch := source.poll()) is not None:
            assert append_batch(self.log, batch).dead == 0
        source.close()
        stream = EmbeddedProcessor(EmbeddedStreamConfig(), context)
        stream.open(self.log)
        progress = carry(stream, self.log)
        stream.close()
        return progress


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, online_retail: Path) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"), online_retail)
    progress = shop.take_in()
    assert (progress.rows, progress.written, progress.duplicates) == (LINES, LINES, 0)
    return shop


def test_every_line_and_every_penny(shop: Shop) -> None:
    for layer in ("bronze", "silver"):
        table = shop.lake.dataset(f"{layer}.sale").to_table(columns=["event_id"])
        assert table.num_rows == LINES
        assert pc.count_distinct(table["event_id"]).as_py() == LINES
    amounts = shop.lake.dataset("silver.sale").to_table(columns=["amount"])["amount"]
    assert amounts.null_count == 0
    assert pc.sum(amounts).as_py() == TOTAL


def test_the_hours_add_up_to_the_goods_of_the_file(shop: Shop, online_retail: Path) -> None:
    """Hour by hour, computed from the file itself."""
    windows = shop.lake.dataset("silver.sale_window_hour").to_table()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        expected = connection.sql(f"""
            SELECT date_trunc('hour', InvoiceDate AT TIME ZONE 'Europe/London') AS hour,
                count(DISTINCT InvoiceNo), count(*), sum(CAST(Quantity AS DECIMAL(18, 3))),
                sum(Quantity * CAST(UnitPrice AS DECIMAL(18, 4)))
            FROM '{online_retail}'
            WHERE UnitPrice > 0 AND regexp_matches(StockCode, '^[0-9]{{5}}[A-Za-z]*$')
            GROUP BY hour ORDER BY hour
        """).fetchall()
    columns = ("window_start", "receipts", "lines", "units", "revenue")
    rows = [[row[name] for name in columns] for row in windows.sort_by("window_start").to_pylist()]
    assert len(rows) == len(expected)
    for found, wanted in zip(rows, expected, strict=True):
        assert found == list(wanted)


def test_the_same_file_again_adds_nothing(shop: Shop) -> None:
    windows = shop.lake.dataset("silver.sale_window_hour").to_table().sort_by("window_start")
    progress = shop.take_in()
    assert (progress.written, progress.duplicates) == (0, LINES)
    silver = shop.lake.dataset("silver.sale").to_table(columns=["amount"])
    assert silver.num_rows == LINES
    assert pc.sum(silver["amount"]).as_py() == TOTAL
    assert shop.lake.dataset("bronze.sale").count_rows() == 2 * LINES
    again = shop.lake.dataset("silver.sale_window_hour").to_table().sort_by("window_start")
    assert again.equals(windows)
