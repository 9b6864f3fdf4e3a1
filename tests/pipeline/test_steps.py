"""The steps and the silver pipelines as data."""

from __future__ import annotations

import pyarrow as pa
import pytest
import sqlglot

from retaild.events import FAMILIES, arrow_schema
from retaild.pipeline.steps import Column, Dedup, Emit, Map, StreamPipeline, after, arrow_type
from retaild.pipeline.streams import bronze_schema, silver_schemas, stream_pipelines


def test_every_family_is_deduplicated_into_its_own_table() -> None:
    assert set(stream_pipelines()) == set(FAMILIES)
    for family, pipeline in stream_pipelines().items():
        assert pipeline.table() == f"silver.{family}"
        assert Dedup("event_id") in pipeline.rows()


def test_silver_has_the_columns_of_the_event_and_where_it_came_from() -> None:
    for family in FAMILIES:
        own = silver_schemas()[f"silver.{family}"]
        assert own.names == [*arrow_schema(family).names, "_offset", "_appended_at"]


def test_a_sale_in_silver_always_has_an_amount() -> None:
    bronze, silver = bronze_schema("sale").field("amount"), silver_schemas()["silver.sale"]
    assert bronze.nullable
    assert silver.field("amount") == pa.field("amount", pa.decimal128(18, 4), nullable=False)
    assert silver.get_field_index("amount") == bronze_schema("sale").get_field_index("amount")


def test_the_schema_of_windows() -> None:
    moment = pa.timestamp("us", tz="UTC")
    assert silver_schemas()["silver.sale_window_hour"] == pa.schema([
        pa.field("store", pa.string(), nullable=False),
        pa.field("window_start", moment, nullable=False),
        pa.field("window_end", moment, nullable=False),
        pa.field("receipts", pa.int64(), nullable=False),
        pa.field("lines", pa.int64(), nullable=False),
        pa.field("units", pa.decimal128(18, 3), nullable=False),
        pa.field("revenue", pa.decimal128(18, 4), nullable=False),
        pa.field("month", pa.date32(), nullable=False),
    ])  # fmt: skip


def test_steps_split_at_the_first_emit() -> None:
    pipeline = stream_pipelines()["sale"]
    assert [type(step).__name__ for step in pipeline.rows()] == ["Map", "Dedup", "Emit"]
    assert [type(step).__name__ for step in pipeline.windows()] == [
        "Filter", "Window", "Map", "Emit",
    ]  # fmt: skip
    assert stream_pipelines()["stock"].windows() == ()


def test_a_map_adds_behind_and_replaces_in_place() -> None:
    schema = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.int64())])
    steps = (Map((Column("a", "b + 1", "DOUBLE"), Column("c", "a", "STRING", nullable=True))),)
    assert after(schema, steps) == pa.schema([
        pa.field("a", pa.float64(), nullable=False), pa.field("b", pa.int64()),
        pa.field("c", pa.string()),
    ])  # fmt: skip


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'VARCHAR'"):
        arrow_type("VARCHAR")


def test_spark_and_duckdb_read_every_expression_alike() -> None:
    for pipeline in stream_pipelines().values():
        for text in expressions(pipeline):
            trees = [sqlglot.parse_one(text, read=dialect) for dialect in ("duckdb", "spark")]
            assert trees[0].sql("spark") == trees[1].sql("spark"), text


def expressions(pipeline: StreamPipeline) -> list[str]:
    found = []
    for step in pipeline.steps:
        if not isinstance(step, Emit | Dedup):
            columns = getattr(step, "columns", ()) + getattr(step, "aggregates", ())
            found += [column.expression for column in columns]
            found += [step.condition] if hasattr(step, "condition") else []
    return found
