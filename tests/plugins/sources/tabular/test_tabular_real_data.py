"""Real files: Online Retail and Complete Journey are only configuration."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import retaild_plugins.sources.tabular as package
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.source import TabularSource

from retaild.api import BuildContext
from retaild.testing.source import events_of, letters_of, read_all


def sample(name: str, path: Path, **settings: Any) -> TabularSource:
    """The source that a sample file configures, over another path."""
    text = Path(package.__file__).with_name(name).read_text("utf-8")
    ((instance, values),) = tomllib.loads(text)["source"].items()
    assert values.pop("plugin") == "tabular"
    config = TabularConfig.model_validate({**values, "path": path, "settle_seconds": 0, **settings})
    return TabularSource(config, BuildContext(instance, path.parent, path.parent))


@pytest.fixture(scope="module")
def year(online_retail: Path) -> pa.Table:
    batches = read_all(sample("sample.toml", online_retail))
    assert letters_of(batches) == []
    return events_of(batches)


def query(sql: str) -> Any:
    return duckdb.connect().sql(sql).fetchall()


def test_every_line_of_the_year_is_accepted_to_the_penny(year: pa.Table) -> None:
    # Published: data/README.md, and any spreadsheet over the raw file.
    assert year.num_rows == 541_909
    amounts = pc.multiply(year["quantity"], year["unit_price"])
    assert pc.sum(amounts).as_py() == Decimal("9747747.934")


def test_the_raw_file_s_own_sums(online_retail: Path, year: pa.Table) -> None:
    raw = f"'{online_retail}'"
    ((customers, receipts, codes, nameless),) = query(
        "SELECT count(DISTINCT CustomerID), count(DISTINCT InvoiceNo), "
        f"count(DISTINCT StockCode), count(*) FILTER (CustomerID IS NULL) FROM {raw}"
    )
    assert pc.count_distinct(year["customer_id"], mode="only_valid").as_py() == customers == 4372
    assert pc.count_distinct(year["receipt_id"]).as_py() == receipts == 25_900
    assert pc.count_distinct(year["product_id"]).as_py() == codes == 4070
    assert year["customer_id"].null_count == nameless == 135_080


def test_line_types_counted_from_the_raw_file(online_retail: Path, year: pa.Table) -> None:
    rules = (
        "CASE WHEN UnitPrice <= 0 THEN 'adjustment' "
        r"WHEN NOT regexp_full_match(StockCode, '\d{5}[A-Za-z]*') THEN 'service' "
        "WHEN InvoiceNo LIKE 'C%' OR Quantity < 0 THEN 'return' ELSE 'sale' END"
    )
    expected = dict(query(f"SELECT {rules} AS kind, count(*) FROM '{online_retail}' GROUP BY 1"))
    found = {
        item["values"]: item["counts"] for item in pc.value_counts(year["line_type"]).to_pylist()
    }
    assert found == expected
    assert sum(found.values()) == 541_909
    assert found["adjustment"] == 2517


def test_equal_lines_are_lines_of_their_own(online_retail: Path, year: pa.Table) -> None:
    ((distinct,),) = query(f"SELECT count(*) FROM (SELECT DISTINCT * FROM '{online_retail}')")
    assert 541_909 - distinct == 5268
    suffixed = pc.match_substring_regex(year["event_id"], "-[0-9]+$")
    assert pc.count_distinct(year["event_id"]).as_py() == 541_909
    # Lines that differ only in white space of the text, which is not kept, are equal as well.
    assert pc.sum(suffixed).as_py() >= 5268


def test_london_s_summer_time(online_retail: Path, year: pa.Table) -> None:
    first, last = pc.min_max(year["event_time"]).as_py().values()
    assert str(first) == "2010-12-01 08:26:00+00:00"
    assert str(last) == "2011-12-09 12:50:00+00:00"
    one = year.filter(pc.equal(year["receipt_id"], "559919"))["event_time"][0].as_py()
    ((local,),) = query(
        f"SELECT min(InvoiceDate) FROM '{online_retail}' WHERE InvoiceNo = '559919'"
    )
    assert (local.hour - one.hour, local.month) == (1, 7)


def test_resuming_within_the_year_is_the_same_as_reading_through(
    online_retail: Path, year: pa.Table
) -> None:
    source = sample("sample.toml", online_retail)
    source.open(None)
    begun = [source.poll() for _ in range(4)]
    source.close()
    assert begun[-1] is not None
    rest = read_all(sample("sample.toml", online_retail), begun[-1].position)
    parts = [batch.events for batch in [*begun, *rest] if batch is not None]
    assert pa.concat_tables(parts).combine_chunks().equals(year)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_the_same_events_from_a_text_export(
    form: str, online_retail: Path, tmp_path: Path, year: pa.Table
) -> None:
    export = tmp_path / f"online_retail.{form}"
    german = (
        "* REPLACE (strftime(InvoiceDate, '%d.%m.%Y %H:%M') AS InvoiceDate, "
        "replace(UnitPrice::VARCHAR, '.', ',') AS UnitPrice)"
    )
    rows, how, settings = {
        "csv": ("*", "HEADER", {}),
        "tsv": (german, "HEADER, DELIMITER '\t'", {"dates": ["%d.%m.%Y %H:%M"], "decimal": ","}),
        "jsonl": ("*", "FORMAT JSON", {}),
    }[form]
    limit = 60_000
    duckdb.connect().execute(
        f"COPY (SELECT {rows} FROM '{online_retail}' LIMIT {limit}) TO '{export}' ({how})"
    )
    batches = read_all(sample("sample.toml", export, **settings))
    assert letters_of(batches) == []
    assert events_of(batches).equals(year.slice(0, limit).combine_chunks())


def test_complete_journey_is_only_configuration(shared: Path) -> None:
    path = shared / "data/complete_journey/transactions_sample_100k.parquet"
    batches = read_all(sample("sample-complete-journey.toml", path))
    events = events_of(batches)
    assert letters_of(batches) == []
    ((rows, sales, discounts, no_pieces, stores),) = query(
        "SELECT count(*), round(sum(sales_value), 2), "
        "round(sum(retail_disc + coupon_match_disc), 2), count(*) FILTER (quantity = 0), "
        f"count(DISTINCT store_id) FROM '{path}'"
    )
    assert events.num_rows == rows == 100_000
    assert float(pc.sum(events["amount"]).as_py()) == pytest.approx(sales)
    assert float(pc.sum(events["discount"]).as_py()) == pytest.approx(discounts)
    assert pc.count_distinct(events["store"]).as_py() == stores
    assert pc.count_distinct(events["event_id"]).as_py() == rows
    # The shelf's price: what was paid and what was taken off, per piece.
    gross = pc.add(events["amount"], events["discount"]).to_pylist()
    pieces = events["quantity"].to_pylist()
    prices = events["unit_price"].to_pylist()
    off = [
        abs(price * count - total)
        for price, count, total in zip(prices, pieces, gross, strict=True)
        if count
    ]
    assert max(off) <= max(pieces) * Decimal("0.00005")
    assert sum(count == 0 for count in pieces) == no_pieces
