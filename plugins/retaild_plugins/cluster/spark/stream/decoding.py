"""Kafka records to rows, in Spark's Python workers: by the very code that every engine uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from retaild.api import Entry, LogEntry
from retaild.events.codec import encode_table
from retaild.pipeline.entries import decode
from retaild.pipeline.letters import Letter, letter_table
from retaild.pipeline.streams import OFFSET, bronze_schema

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

#: Place of a row in its entry's order; and, in a row of its own, dead letters (`encode_table`).
POSITION, LETTERS = "_position", "_letters"
#: Rows that go from Python to Spark at a time.
_CHUNK = 65_536
#: For entries of families that this version does not know: they become letters, never rows.
UNKNOWN = "dead_letter"


def entries_of(records: DataFrame, base: int) -> DataFrame:
    """Kafka's records as the log's entries; `base`: the log's offset of Kafka's offset 0."""
    from pyspark.sql import functions as F

    return records.select(
        (F.col("offset") + F.lit(base)).alias("offset"),
        F.col("timestamp").alias("appended_at"),
        F.col("value").alias("payload"),
        _header("family").alias("family"),
        _header("codec").alias("codec"),
        _header("rows").cast("long").alias("rows"),
        _header("rows_before").cast("long").alias("rows_before"),
    )


def _header(name: str) -> Column:
    from pyspark.sql import functions as F

    found = F.filter("headers", lambda header: header["key"] == name)
    return F.decode(found[0]["value"], "UTF-8")


def rows_of(entries: DataFrame, family: str, store: str) -> DataFrame:
    """The rows of a family's entries: the columns of bronze, POSITION and LETTERS.

    A row holds either an event or, in LETTERS alone, dead letters.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = result_schema(family)
    return entries.mapInArrow(_worker(family, store), from_arrow_schema(schema))


def result_schema(family: str) -> pa.Schema:
    fields = [field.with_nullable(True) for field in bronze_schema(family)]
    return pa.schema([*fields, pa.field(POSITION, pa.int64()), pa.field(LETTERS, pa.binary())])


def _worker(
    family: str, store: str
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = result_schema(family)
        for batch in batches:
            yield from decoded(batch, family, store, schema)

    return work


def decoded(
    batch: pa.RecordBatch, family: str, store: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows of some entries, in their order, then their dead letters."""
    found = decode(sorted(map(_entry, batch.to_pylist()), key=lambda entry: entry.offset))
    rows = found.tables.get(family)
    if rows is not None and rows.num_rows:
        position = pa.array(range(rows.num_rows), pa.int64())
        nothing = pa.nulls(rows.num_rows, pa.binary())
        columns = [*(rows[name] for name in bronze_schema(family).names), position, nothing]
        yield from pa.table(columns, schema=schema).to_batches(_CHUNK)
    if found.letters:
        yield _letters(found.letters, store, schema)


def _letters(letters: list[Letter], store: str, schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.nulls(1, field.type) for field in schema]
    columns[-1] = pa.array([encode_table(letter_table(letters, store))], pa.binary())
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _entry(row: dict[str, object]) -> LogEntry:
    entry = Entry(row["family"], row["codec"], row["rows"], row["payload"])  # type: ignore[arg-type]
    appended = row["appended_at"].timestamp()  # type: ignore[attr-defined]
    return LogEntry(row["offset"], row["rows_before"], appended, entry)  # type: ignore[arg-type]


__all__ = ["LETTERS", "OFFSET", "POSITION", "UNKNOWN", "entries_of", "rows_of"]
