"""Reads Parquet in chunks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retaild_plugins.sources.tabular import faults
from retaild_plugins.sources.tabular.chunk import CHUNK_ROWS, Chunk

#: A row group may not unpack to more: it would not be one that a store's exports have.
_MAX_GROUP_BYTES = 2 * 1024**3


class ParquetReader:
    """Rows with types. Memory is bounded by a row group."""

    row_format = "json typed"

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self.name = name
        self.consumed = size
        try:
            self._file = pq.ParquetFile(file)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise faults.not_this_format(name, "Parquet", _first_line(error)) from None
        for group in range(self._file.metadata.num_row_groups):
            if self._file.metadata.row_group(group).total_byte_size > _MAX_GROUP_BYTES:
                raise faults.too_large(name, _MAX_GROUP_BYTES)
        self._batches: Iterator[pa.RecordBatch] = self._file.iter_batches(
            batch_size=CHUNK_ROWS, use_threads=False
        )
        self._rows = 0

    @property
    def columns(self) -> list[str]:
        return list(self._file.schema_arrow.names)

    def total(self) -> int:
        return int(self._file.metadata.num_rows)

    def next_chunk(self) -> Chunk | None:
        """The next rows; None at the end. Raises FileFaultError."""
        try:
            batch = next(self._batches, None)
        except (pa.ArrowException, OSError) as error:
            raise faults.not_this_format(self.name, "Parquet", _first_line(error)) from None
        if batch is None:
            return None
        table = pa.Table.from_batches([batch])
        numbers = np.arange(self._rows + 1, self._rows + table.num_rows + 1)
        self._rows += table.num_rows
        return Chunk(
            table=table,
            rows=numbers,
            raw=lambda index: (0, row_as_json(table, index)),
            count=table.num_rows,
            last=self._rows >= self.total(),
        )


def row_as_json(table: pa.Table, index: int) -> bytes:
    """One row as a JSON object; moments in ISO form, decimals and bytes as text."""
    (row,) = table.slice(index, 1).to_pylist()
    return json.dumps(_plain(row), ensure_ascii=False, default=_as_text).encode(
        "utf-8", "surrogatepass"
    )


def _plain(value: Any) -> Any:
    """JSON has no NaN: it is no value. Infinity is told as text, to be refused again."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat(" ") if hasattr(value, "isoformat") else str(value)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
