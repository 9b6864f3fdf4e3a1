"""The tabular source against the conformance suite, in every format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from retaild_plugins.sources.tabular import chunk, delimited
from retaild_plugins.sources.tabular.source import TabularSource

from retaild.testing.source import SourceConformance, SourceFactory

NAMES = ("receipt", "article", "text", "pieces", "price", "time", "customer")


def rows(count: int) -> list[dict[str, str]]:
    """Rows with equal ones among them; every 50th cannot be read."""
    return [
        {
            "receipt": f"R{n // 7}",
            "article": f"A{n % 3}",
            "text": 'a "quoted", text\nin two lines' if n % 11 == 0 else "plain",
            "pieces": "many" if n % 50 == 49 else str(n % 2 + 1),
            "price": "2.50",
            "time": "2024-03-01 10:00:00",
            "customer": "" if n % 4 else "17",
        }
        for n in range(count)
    ]


def as_csv(values: list[dict[str, str]]) -> str:
    def field(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if any(s in text for s in ',"\n') else text

    lines = [",".join(field(row[name]) for name in NAMES) for row in values]
    return ",".join(NAMES) + "\n" + "\n".join(lines) + "\n"


def write(folder: Path, form: str, values: list[dict[str, str]]) -> Path:
    path = folder / f"tills.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(values), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in values), "utf-8")
    elif form == "csv.gz":
        path.write_bytes(gzip.compress(as_csv(values).encode(), mtime=0))
    else:
        path.write_text(as_csv(values), "utf-8")
    return path


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "parquet"])
class TestTabular(SourceConformance):
    @pytest.fixture
    def input_rows(self) -> int:
        return 1000

    @pytest.fixture
    def source_factory(
        self, form: str, tmp_path: Path, new_source: SourceFactory, monkeypatch: pytest.MonkeyPatch
    ) -> SourceFactory:
        # Small chunks, so that the thousand rows are several batches.
        monkeypatch.setattr(delimited, "CHUNK_ROWS", 128)
        monkeypatch.setattr(delimited, "_BLOCK", 16 * 1024)
        from retaild_plugins.sources.tabular import columnar

        monkeypatch.setattr(columnar, "CHUNK_ROWS", 128)
        path = write(tmp_path, form, rows(1000))

        def build() -> TabularSource:
            source: TabularSource = new_source(path)  # type: ignore[call-arg, assignment]
            return source

        return build


def test_the_limit_of_a_chunk_is_that_of_a_log_entry() -> None:
    assert chunk.CHUNK_ROWS == 65_536
