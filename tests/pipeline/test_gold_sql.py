"""The SQL files of the gold layer: readable by other engines, documented, in order."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from retaild.pipeline.batch import BatchTable, batch_tables
from retaild.pipeline.streams import silver_schemas

CONTRACT = {
    "gold.product", "gold.customer", "gold.product_day", "gold.product_week",
    "gold.customer_product", "gold.price_history", "gold.customer_snapshot",
    "gold.product_snapshot",
}  # fmt: skip

tables = pytest.mark.parametrize("table", batch_tables(), ids=lambda table: table.name)


def test_all_gold_tables_are_there() -> None:
    assert {table.name for table in batch_tables()} == CONTRACT


def test_a_table_comes_after_those_it_reads() -> None:
    names = [table.name for table in batch_tables()]
    for table in batch_tables():
        for read in table.reads:
            assert read not in names or names.index(read) < names.index(table.name)


@tables
def test_spark_takes_the_sql(table: BatchTable) -> None:
    """sqlglot finds nothing that Spark has no form for, and reads its own result as Spark does."""
    (spark,) = sqlglot.transpile(
        table.sql, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE
    )
    again = sqlglot.parse_one(spark, read="spark")
    assert not list(again.find_all(exp.Command))
    assert columns(again) == columns(sqlglot.parse_one(table.sql, read="duckdb"))


def columns(query: exp.Expression) -> list[str]:
    return list(query.named_selects)


@tables
def test_the_header_names_exactly_what_the_sql_reads(table: BatchTable) -> None:
    query = sqlglot.parse_one(table.sql, read="duckdb")
    own = {cte.alias for cte in query.find_all(exp.CTE)}
    used = {found.name for found in query.find_all(exp.Table)} - own
    assert used == {name.replace(".", "_") for name in table.reads}


@tables
def test_it_reads_known_tables_only(table: BatchTable) -> None:
    for name in table.reads:
        assert name in silver_schemas() or name in CONTRACT


@tables
def test_no_result_depends_on_the_clock_of_the_machine(table: BatchTable) -> None:
    words = {word.lower() for word in table.words()}
    assert not words & {"now", "current_timestamp", "current_date", "random", "uuid"}


@tables
def test_the_definitions_are_written_down(table: BatchTable) -> None:
    comments = [line for line in table.sql.splitlines() if line.startswith("-- ")]
    assert len(comments) >= 4
    assert table.summary.endswith(".")
