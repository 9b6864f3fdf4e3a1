"""Lowers the steps' expressions to DuckDB, over Arrow tables in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild.pipeline.steps import Column, Window, arrow_type


class Sql:
    """One DuckDB connection; results keep the order of the rows. Not thread-safe."""

    def __init__(self, threads: int) -> None:
        self._connection = duckdb.connect(config={"threads": threads})
        self._connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")

    def close(self) -> None:
        self._connection.close()

    def hashes(self, column: pa.ChunkedArray) -> NDArray[np.uint64]:
        """A 64-bit hash of each value. Only equal within one version of DuckDB: never stored."""
        result = self._select("HASH(value) AS value", pa.table({"value": column}))
        return np.asarray(result.column(0).to_numpy(), np.uint64)

    def evaluate(self, table: pa.Table, columns: Sequence[Column]) -> list[pa.ChunkedArray]:
        """The columns' values for each row; null where the value does not fit the type."""
        # Only what is computed passes through the engine: the other columns are not copied.
        narrow = _narrowed(table, (column.expression for column in columns))
        found = self._attempt(narrow, columns)
        return [
            values
            if column.nullable or not values.null_count
            else self._completed(narrow, column, values)
            for column, values in zip(columns, found, strict=True)
        ]

    def _attempt(self, table: pa.Table, columns: Sequence[Column]) -> list[pa.ChunkedArray]:
        chosen = ", ".join(f'TRY({c.expression}) AS "{c.name}"' for c in columns)
        result = self._select(chosen, table)
        return [result[c.name].cast(arrow_type(c.type), safe=False) for c in columns]

    def _completed(
        self, table: pa.Table, column: Column, values: pa.ChunkedArray
    ) -> pa.ChunkedArray:
        """Try once more with wide decimals what gave nothing.

        DuckDB computes with decimals of 18 digits in 64 bits, fast, and gives up where a product
        has more digits, even if the result would fit.
        """
        wide = _widened(table.filter(pc.is_null(values)))
        (second,) = self._attempt(wide, [column])
        return pc.replace_with_mask(
            values.combine_chunks(), pc.is_null(values).combine_chunks(), second.combine_chunks()
        )

    def mask(self, table: pa.Table, condition: str) -> pa.ChunkedArray:
        """True for the rows that fulfil `condition`."""
        chosen = f"COALESCE({condition}, FALSE) AS kept"
        return self._select(chosen, _narrowed(table, (condition,)))["kept"]

    def windows(self, table: pa.Table, window: Window) -> pa.Table:
        """One row per window and keys; `table` has the column window_start (int64, epoch us)."""
        keys = ", ".join(window.keys)
        values = ", ".join(f'{c.expression} AS "{c.name}"' for c in window.aggregates)
        result = self._select(
            f"{keys}, window_start, {values}", table, f"GROUP BY {keys}, window_start"
        )
        moment = arrow_type("TIMESTAMP")
        size = window.size // np.timedelta64(1, "us").astype(object)
        columns = {key: result[key] for key in window.keys}
        columns["window_start"] = result["window_start"].cast(moment)
        columns["window_end"] = pc.add(result["window_start"], size).cast(moment)
        columns |= {c.name: result[c.name].cast(arrow_type(c.type)) for c in window.aggregates}
        return pa.table(columns)

    def _select(self, columns: str, table: pa.Table, rest: str = "") -> pa.Table:
        self._connection.register("batch", table)
        try:
            query = f"SELECT {columns} FROM batch {rest}"
            return self._connection.sql(query).to_arrow_table()
        finally:
            self._connection.unregister("batch")


def names_in(expressions: Iterable[str], schema: pa.Schema) -> list[str]:
    """Columns of `schema` that the expressions may use, in the schema's order."""
    words = {word for text in expressions for word in re.findall(r"[A-Za-z_]\w*", text)}
    return [name for name in schema.names if name in words]


def _narrowed(table: pa.Table, expressions: Iterable[str]) -> pa.Table:
    names = names_in(expressions, table.schema)
    return table.select(names or table.schema.names[:1])


def _widened(table: pa.Table) -> pa.Table:
    fields = [
        f.with_type(pa.decimal128(38, f.type.scale)) if pa.types.is_decimal(f.type) else f
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))
