"""The vocabulary of streaming: five steps, which every stream processor lowers to its own engine.

Expressions are SQL in the subset that DuckDB and Spark share (Flink's takes it too): column names,
literals, arithmetic, CASE, COALESCE, CAST to the types of `SQL_TYPES`, COUNT, SUM, MIN, MAX. They
must not depend on the time of their evaluation: a replay gives the same rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: Types that a step may name, beside DECIMAL(p, s).
SQL_TYPES = ("BIGINT", "DOUBLE", "STRING", "BOOLEAN", "DATE", "TIMESTAMP")


@dataclass(frozen=True, slots=True)
class Column:
    """`name` gets the value of `expression` as `type`.

    Where the value is null though `nullable` is False (a decimal overflows, say), the row is not
    lost: it goes to the dead letters.
    """

    name: str
    expression: str
    type: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Map:
    """Adds columns, or replaces those of the same name (in place)."""

    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the rows for which `condition` is true (null counts as false)."""

    condition: str


@dataclass(frozen=True, slots=True)
class Dedup:
    """Keeps the first row of each `key`, for all time: a repeat years later is left out too."""

    key: str


@dataclass(frozen=True, slots=True)
class Window:
    """Aggregates per `keys` in tumbling windows of event time, aligned to the epoch (UTC).

    A row belongs to the window with window_start <= `time` < window_end. The result is one row per
    window and keys with at least one row, columns: keys, window_start, window_end, aggregates. It
    is always that of all rows emitted before this step: a row no later than `allowed_lateness`
    behind the newest is added while its window is in memory; a later one has its window computed
    anew from the table.
    """

    time: str
    size: timedelta
    keys: tuple[str, ...]
    aggregates: tuple[Column, ...]
    allowed_lateness: timedelta


@dataclass(frozen=True, slots=True)
class Emit:
    """Writes the rows to the lake's `table` and passes them on.

    Before a Window: appends. After it: replaces the rows of the same window and keys.
    `partition_by` names a column of few values that lays out the table.
    """

    table: str
    partition_by: str | None = None


Step = Map | Filter | Dedup | Window | Emit


@dataclass(frozen=True, slots=True)
class StreamPipeline:
    """What happens to the events of one family between the log and silver, in order."""

    family: str
    steps: tuple[Step, ...]

    def step_names(self) -> frozenset[str]:
        """For `StreamProcessorSpec.supports`."""
        return frozenset(type(step).__name__ for step in self.steps)

    def rows(self) -> tuple[Step, ...]:
        """The steps before the windowed part: up to and including the first Emit."""
        return self.steps[: self._emit() + 1]

    def windows(self) -> tuple[Step, ...]:
        """The steps after it; empty where nothing is aggregated."""
        return self.steps[self._emit() + 1 :]

    def table(self) -> str:
        """The table that the rows are emitted to."""
        emit = self.steps[self._emit()]
        assert isinstance(emit, Emit)
        return emit.table

    def _emit(self) -> int:
        return next(i for i, step in enumerate(self.steps) if isinstance(step, Emit))


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a step's type name. Raises ValueError for any other name."""
    import pyarrow as pa

    decimal = re.fullmatch(r"DECIMAL\((\d+), (\d+)\)", name)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    types = {
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "STRING": pa.string(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    }
    if name not in types:
        raise ValueError(f"A step names the type {name!r}; use DECIMAL(p, s) or one of {SQL_TYPES}")
    return types[name]


def after(schema: pa.Schema, steps: tuple[Step, ...]) -> pa.Schema:
    """The schema that `steps` turn rows of `schema` into."""
    for step in steps:
        if isinstance(step, Map):
            schema = _mapped(schema, step.columns)
        elif isinstance(step, Window):
            schema = _windowed(schema, step)
    return schema


def _mapped(schema: pa.Schema, columns: tuple[Column, ...]) -> pa.Schema:
    for column in columns:
        field = _field(column)
        place = schema.get_field_index(column.name)
        schema = schema.append(field) if place < 0 else schema.set(place, field)
    return schema


def _windowed(schema: pa.Schema, window: Window) -> pa.Schema:
    import pyarrow as pa

    moment = arrow_type("TIMESTAMP")
    keys = [schema.field(key) for key in window.keys]
    bounds = [pa.field(name, moment, nullable=False) for name in ("window_start", "window_end")]
    return pa.schema([*keys, *bounds, *(_field(column) for column in window.aggregates)])


def _field(column: Column) -> pa.Field:
    import pyarrow as pa

    return pa.field(column.name, arrow_type(column.type), nullable=column.nullable)
