"""Writing rows of the lake to a file that other programs open.

A cell of CSV that begins like a formula would be run by a spreadsheet: descriptions and ids come
from outside, so such a text gets an apostrophe before it (OWASP, CSV injection), unless raw text
is asked for.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from retaild.cli.output import jsonable

if TYPE_CHECKING:
    import pyarrow as pa

Batches = Iterable["pa.RecordBatch"]
#: What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet runs. Numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def write_csv(path: Path, schema: pa.Schema, batches: Batches, *, raw: bool = False) -> int:
    """Comma-separated UTF-8 with a line of names; how many rows were written."""
    guard: Callable[[Any], Any] = _cell if raw else lambda value: harmless(_cell(value))
    with _whole(path) as file:
        writer = csv.writer(file)
        writer.writerow([guard(name) for name in schema.names])
        return sum(_write_rows(writer, batch, guard) for batch in batches)


def _write_rows(writer: Any, batch: pa.RecordBatch, guard: Callable[[Any], Any]) -> int:
    columns = [column.to_pylist() for column in batch.columns]
    writer.writerows([guard(value) for value in row] for row in zip(*columns, strict=True))
    return int(batch.num_rows)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str | Decimal):
        return value
    shown = jsonable(value)
    return json.dumps(shown, ensure_ascii=False) if isinstance(shown, dict | list) else shown


def write_json_lines(path: Path, schema: pa.Schema, batches: Batches, *, raw: bool = False) -> int:
    """One JSON object a line."""
    with _whole(path) as file:
        return sum(_write_objects(file, batch.to_pylist()) for batch in batches)


def _write_objects(file: TextIO, rows: Sequence[dict[str, Any]]) -> int:
    file.writelines(json.dumps(jsonable(row), ensure_ascii=False) + "\n" for row in rows)
    return len(rows)


def write_parquet(path: Path, schema: pa.Schema, batches: Batches, *, raw: bool = False) -> int:
    """Parquet with the table's own types."""
    import pyarrow.parquet as pq

    beside = _beside(path)
    count = 0
    try:
        with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
                count += batch.num_rows
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return count


Writer = Callable[..., int]
WRITERS: dict[str, Writer] = {
    ".csv": write_csv,
    ".jsonl": write_json_lines,
    ".parquet": write_parquet,
}


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """The file appears when it is complete."""
    beside = _beside(path)
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")
