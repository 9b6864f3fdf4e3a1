"""Tables, durations and JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from retaild.cli.output import columns, duration, jsonable, print_table, print_tree, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (59, "59 s"),
        (150, "2 min"),
        (7300, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_size() -> None:
    assert [size(n) for n in (0, 512, 2048, 5 * 2**20, 3 * 2**30)] == [
        "-", "512 B", "2 KiB", "5 MiB", "3.0 GiB",
    ]  # fmt: skip


def test_json_keeps_pennies_and_writes_times_in_utc() -> None:
    values = {"price": Decimal("1.50"), "at": 0.0, "seconds": 0.5, "raw": b"\xffx",
              "when": datetime(2024, 1, 1, tzinfo=UTC), "list": (1, None)}  # fmt: skip
    assert jsonable(values) == {
        "price": "1.50", "at": "1970-01-01T00:00:00Z", "seconds": 0.5, "raw": "�x",
        "when": "2024-01-01T00:00:00Z", "list": [1, None],
    }  # fmt: skip


def test_a_table_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = [{"name": "x" * 30, "text": "y" * 100, "n": 5}]
    print_table(rows, columns("name n text"), "none")
    whole = capsys.readouterr().out
    assert "y" * 100 in whole
    monkeypatch.setenv("COLUMNS", "60")
    print_table(rows, columns("name n text"), "none")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert "…" in lines[1]
    print_table([], columns("name"), "none")
    assert capsys.readouterr().out == "none\n"


def test_what_holds_others_is_a_line_per_figure(capsys: pytest.CaptureFixture[str]) -> None:
    print_tree({
        "seconds": 12.5,
        "removed": ["old", "older"],
        "nothing": None,
        "empty": {},
        "steps": {
            "gold": {
                "tables": [
                    {"table": "gold.product", "rows": 3, "reads": {"silver.sale": 7}},
                    {"table": "gold.customer", "rows": 41, "reads": {}},
                ],
                "cpu_seconds": 1.25,
            },
            "train": {"metrics": {"ndcg": 0.123456}, "promoted": True},
        },
    })  # fmt: skip
    assert (
        capsys.readouterr().out
        == """\
seconds  12.5
removed  old, older
steps
  gold
    cpu_seconds  1.25
    tables
      table          rows
      gold.product      3
      gold.customer    41
  train
    promoted  yes
    metrics
      ndcg  0.1235
"""
    )
