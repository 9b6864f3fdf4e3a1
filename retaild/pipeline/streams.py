"""The silver pipeline of each event family, and the schemas of the tables they fill.

Bronze holds events as accepted, silver each event once and clean. Both carry where they come from:
`_offset` (the log entry) and `_appended_at` (when the log took it, UTC).
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from retaild.events import FAMILIES, arrow_schema
from retaild.pipeline.steps import (
    Column,
    Dedup,
    Emit,
    Filter,
    Map,
    Step,
    StreamPipeline,
    Window,
    after,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from retaild.api.lake import Lake

#: The writer of bronze and silver in the tables' transactions, whichever engine it is.
STREAM_APP = "retaild-stream"

#: Holds no rows: its transaction of STREAM_APP says up to which log offset all tables are written.
PROGRESS_TABLE = "bronze.progress"

OFFSET, APPENDED_AT = "_offset", "_appended_at"

#: What a line came to: as the till says, else exactly from its parts, the product rounded half up
#: to four decimals. A line that does not fit eighteen digits becomes a dead letter.
AMOUNT = (
    "COALESCE(amount, CAST(CAST(quantity * unit_price AS DECIMAL(18, 4)) - discount"
    " AS DECIMAL(18, 4)))"
)
SALE_AMOUNT = Column("amount", AMOUNT, "DECIMAL(18, 4)")

#: Turnover in goods per store and hour: sales less returns, without services and adjustments.
SALE_HOURS: tuple[Step, ...] = (
    Filter("line_type IN ('sale', 'return')"),
    Window(
        time="event_time",
        size=timedelta(hours=1),
        keys=("store",),
        aggregates=(
            Column("receipts", "COUNT(DISTINCT receipt_id)", "BIGINT"),
            Column("lines", "COUNT(*)", "BIGINT"),
            Column("units", "CAST(SUM(quantity) AS DECIMAL(18, 3))", "DECIMAL(18, 3)"),
            Column("revenue", "CAST(SUM(amount) AS DECIMAL(18, 4))", "DECIMAL(18, 4)"),
        ),
        allowed_lateness=timedelta(hours=24),
    ),
    Map((Column("month", "CAST(DATE_TRUNC('month', window_start) AS DATE)", "DATE"),)),
    Emit("silver.sale_window_hour", partition_by="month"),
)


def carried_offset(lake: Lake) -> int:
    """The log offset below which everything is in all tables; 0 before the first.

    A single table's committed offset says less: a family that has had no event for a month keeps
    its old one, although nothing is missing.
    """
    return lake.committed(PROGRESS_TABLE, STREAM_APP) or 0


@cache
def stream_pipelines() -> dict[str, StreamPipeline]:
    """Family -> pipeline, for every family of the event contract."""
    return {name: StreamPipeline(name, _steps(name)) for name in sorted(FAMILIES)}


def _steps(family: str) -> tuple[Step, ...]:
    once: tuple[Step, ...] = (Dedup("event_id"), Emit(f"silver.{family}"))
    if family == "sale":
        return (Map((SALE_AMOUNT,)), *once, *SALE_HOURS)
    return once


@cache
def bronze_schema(family: str) -> pa.Schema:
    """Schema of `bronze.<family>`. Raises UnknownFamilyError."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    return (
        arrow_schema(family)
        .append(pa.field(OFFSET, pa.int64(), nullable=False))
        .append(pa.field(APPENDED_AT, moment, nullable=False))
    )


@cache
def silver_schemas() -> dict[str, pa.Schema]:
    """Table name (`silver.sale`) -> schema, for every table that a pipeline emits."""
    found: dict[str, pa.Schema] = {}
    for pipeline in stream_pipelines().values():
        schema, done = bronze_schema(pipeline.family), 0
        for place, step in enumerate(pipeline.steps):
            if isinstance(step, Emit):
                schema = after(schema, pipeline.steps[done:place])
                done = place
                found[step.table] = schema
    return found
