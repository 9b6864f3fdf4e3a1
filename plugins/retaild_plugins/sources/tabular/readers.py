"""Which reader reads a file."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, Protocol

from retaild_plugins.sources.tabular import faults
from retaild_plugins.sources.tabular.chunk import Chunk
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.delimited import DelimitedReader, JsonLinesReader
from retaild_plugins.sources.tabular.mapping import RowMapping

_BY_NAME = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".json": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip


class Reader(Protocol):
    @property
    def row_format(self) -> str: ...
    @property
    def columns(self) -> list[str] | None: ...
    @property
    def consumed(self) -> int: ...
    def total(self) -> int: ...
    def next_chunk(self) -> Chunk | None: ...


def reader_of(file: BinaryIO, name: str, config: TabularConfig, mapping: RowMapping) -> Reader:
    """Raises FileFaultError if the file is not what its name or the settings say."""
    size = os.fstat(file.fileno()).st_size if not isinstance(file, io.BytesIO) else 0
    kind = config.format if config.format != "auto" else _guessed(file, name)
    if kind == "parquet":
        from retaild_plugins.sources.tabular.columnar import ParquetReader

        return ParquetReader(file, name, size)
    if kind == "jsonl":
        return JsonLinesReader(file, name, size, config, mapping.needed(None))
    return DelimitedReader(file, name, size, config, tabs=kind == "tsv")


def check_columns(reader: Reader, mapping: RowMapping, name: str) -> None:
    """Raises FileFaultError if a column that the mapping needs is not there."""
    columns = reader.columns
    if columns is None:
        return
    missing = [column for column in mapping.needed(columns) if column not in columns]
    missing += mapping.unfilled(columns)
    if missing:
        raise faults.columns_missing(name, missing, columns)


def _guessed(file: BinaryIO, name: str) -> str:
    head = file.read(4)
    file.seek(0)
    if head == b"PAR1":
        return "parquet"
    stem = name.lower().removesuffix(".gz")
    kind = _BY_NAME.get(os.path.splitext(stem)[1], "")
    if not kind:
        kind = "jsonl" if head.lstrip()[:1] == b"{" else "csv"
    return kind
