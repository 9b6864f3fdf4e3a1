"""`retaildctl lake export`: the rows as they are, and nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retaild.api.lake import Lake
from retaild.cli.app import run
from retaild.cli.lake_export import harmless
from retaild.config.paths import DataDir
from retaild.runtime.state import State

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]
WHEN = datetime(2024, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = DataDir(tmp_path / "data")
    data.create()
    State(data.state_db).close()
    texts = [*FORMULAS, "Cup, red", None]
    price = pa.array([Decimal("-2.50")] * len(texts), pa.decimal128(18, 4))
    times = pa.array([WHEN] * len(texts), pa.timestamp("us", tz="UTC"))
    table = pa.table({"description": texts, "unit_price": price, "event_time": times})
    Lake(data.lake).append("silver.sale", table)
    return data.root


def export(data: Path, file: Path, *more: str) -> int:
    return run(["lake", "export", "silver.sale", str(file), "--data", str(data), *more])


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_no_cell_begins_like_a_formula(data: Path, tmp_path: Path) -> None:
    assert export(data, tmp_path / "out.csv") == 0
    rows = rows_of(tmp_path / "out.csv")
    assert [row["description"] for row in rows] == [*(f"'{f}" for f in FORMULAS), "Cup, red", ""]
    # A negative price is a number, not a formula.
    assert {row["unit_price"] for row in rows} == {"-2.5000"}
    assert rows[0]["event_time"] == "2024-03-01T10:00:00Z"


def test_raw_texts_stay_as_they_are(data: Path, tmp_path: Path) -> None:
    assert export(data, tmp_path / "out.csv", "--raw", "--columns", "description") == 0
    assert [row["description"] for row in rows_of(tmp_path / "out.csv")][:6] == FORMULAS


def test_names_of_columns_are_guarded_too() -> None:
    assert harmless("=x") == "'=x"
    assert harmless("x") == "x"
    assert harmless(Decimal(-1)) == Decimal(-1)


def test_json_lines_and_parquet_keep_everything(data: Path, tmp_path: Path) -> None:
    assert export(data, tmp_path / "out.jsonl", "--where", "description=+1+1") == 0
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "description": "+1+1", "unit_price": "-2.5000", "event_time": "2024-03-01T10:00:00Z",
    }  # fmt: skip
    assert export(data, tmp_path / "out.parquet") == 0
    assert pq.read_table(tmp_path / "out.parquet")["description"].to_pylist()[:6] == FORMULAS


def test_a_file_that_is_there_is_not_written_over(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.csv").write_text("mine")
    assert export(data, tmp_path / "out.csv") == 1
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert export(data, tmp_path / "out.csv", "--force") == 0
    assert export(data, tmp_path / "out.xls") == 2
