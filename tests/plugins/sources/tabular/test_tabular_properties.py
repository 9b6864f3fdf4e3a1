"""What holds for every file: nothing lost, nothing twice, the same wherever reading stops."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from retaild_plugins.sources.tabular import delimited
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.numbers import NumberReader
from retaild_plugins.sources.tabular.occurrences import Occurrences
from retaild_plugins.sources.tabular.records import Splitter
from retaild_plugins.sources.tabular.source import TabularSource
from retaild_plugins.sources.tabular.times import MomentReader
from retaild_plugins.sources.tabular.zones import Zone

from retaild.api import BuildContext
from retaild.testing.source import events_of, letters_of, read_all

NAMES = ["r", "a", "t", "q", "p", "at"]
COLUMNS = {"receipt_id": "r", "product_id": "a", "description": "t", "quantity": "q",
           "unit_price": "p", "event_time": "at"}  # fmt: skip

#: Fields as tills write them, and as nobody should.
_FIELD = st.one_of(
    st.sampled_from(["1", "2", "-1", "2.50", "", "NULL", "2024-03-01", "x", '"', "a\nb", "1,5"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=6),
)
_GOOD = st.tuples(
    st.sampled_from("12"), st.sampled_from("AB"), _FIELD, st.sampled_from("12"), st.just("2.50"),
    st.just("2024-03-01"),
)  # fmt: skip
_ROWS = st.lists(st.one_of(_GOOD, st.tuples(*[_FIELD] * 6)), max_size=12)


def source(path: Path, **more: Any) -> TabularSource:
    config = TabularConfig(path=path, columns=COLUMNS, settle_seconds=0, **more)
    return TabularSource(config, BuildContext("tills", path.parent, path.parent))


def written(folder: str, rows: list[tuple[str, ...]]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([NAMES, *rows])
    path = Path(folder, "x.csv")
    path.write_bytes(text.getvalue().encode())
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


@settings(max_examples=40)
@given(rows=_ROWS, block=st.integers(1, 400), limit=st.integers(1, 9), stop=st.integers(0, 12))
def test_any_rows_any_blocks_any_place_to_resume(
    rows: list[tuple[str, ...]], block: int, limit: int, stop: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = written(folder, rows)
        whole = read_all(source(path))
        patch.setattr(delimited, "_BLOCK", block)
        patch.setattr(delimited, "CHUNK_ROWS", limit)
        parts = read_all(source(path))
        assert events_of(parts).equals(events_of(whole))
        assert letters_of(parts) == letters_of(whole)
        # Every row is one event or one dead letter.
        events, letters = events_of(whole), letters_of(whole)
        assert events.num_rows + len(letters) == len(rows)
        ids = events.column("event_id").to_pylist() + [letter.event_id for letter in letters]
        assert len(set(ids)) == len(rows)
        good = [row for row in rows if _good(row)]
        nothing = ("", "NULL", "null", "NaN", "nan", "None", "\\N")
        texts = [None if row[2].strip() in nothing else row[2].strip() for row in good]
        assert events.column("description").to_pylist() == texts
        # Stopped after any batch, reading goes on as if it had not been.
        count = min(stop, len(parts) - 1) + 1
        again = [*parts[:count], *read_all(source(path), parts[count - 1].position)]
        assert events_of(again).equals(events_of(whole))
        assert letters_of(again) == letters_of(whole)


def _good(row: tuple[str, ...]) -> bool:
    """Whether a row must become an event, worked out field by field."""
    receipt, article, _, quantity, price, at = (field.strip() for field in row)
    nothing = ("", "NULL", "null", "NaN", "nan", "None", "\\N")
    numbers = (quantity, price)
    return (
        receipt not in nothing
        and article not in nothing
        and all(_is_number(text) for text in numbers)
        and at in ("2024-03-01",)
    )


def _is_number(text: str) -> bool:
    """The numbers that the strategies can make."""
    try:
        value = Decimal(text)
    except ArithmeticError:
        return False
    return value.is_finite() and "_" not in text and text.isascii()


@settings(max_examples=25)
@given(rows=_ROWS)
def test_the_same_file_in_another_order_gives_the_same_ids(rows: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = set(events_of([*read_all(source(written(folder, rows)))])["event_id"].to_pylist())
        again = read_all(source(written(folder, rows[::-1])))
        assert set(events_of(again)["event_id"].to_pylist()) == first


@given(data=st.binary(max_size=300), block=st.integers(1, 64))
@example(data=b'"', block=1)
@example(data=b'a"b\n"c\n', block=3)
def test_bytes_of_any_kind_are_cut_into_records_without_loss(data: bytes, block: int) -> None:
    splitter = Splitter(",", '"', 50)
    held, pieces = b"", []
    for start in range(0, len(data) + 1, block):
        final = start + block > len(data)
        held += data[start : start + block]
        records = splitter.split(held, final)
        pieces += [held[a:b] for a, b in zip(records.starts, records.ends, strict=True)]
        held = held[records.rest :]
    assert b"".join(pieces) + held == data
    assert held == b""


@given(st.lists(st.lists(st.text('ab,"\n;é ', max_size=5), min_size=2, max_size=4), max_size=20))
def test_records_end_where_the_csv_module_ends_them(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode()
    records = Splitter(",", '"', 10_000).split(data, True)
    pieces = [data[a:b].decode() for a, b in zip(records.starts, records.ends, strict=True)]
    assert not records.stray.any()
    assert [next(csv.reader(io.StringIO(piece, newline=""))) for piece in pieces] == rows
    counts = Splitter(",", '"', 10_000).delimiters(data, records)
    assert (counts + 1).tolist() == [len(row) for row in rows]


_DECIMALS = st.decimals(-(10**14) + 1, 10**14 - 1, places=4)


_STYLES = st.sampled_from([(".", ""), (",", "."), (",", ""), (".", ","), (".", "'"), (",", " ")])


@given(st.lists(_DECIMALS, max_size=20), _STYLES)
def test_decimals_come_back_exactly_however_they_are_written(
    values: list[Decimal], style: tuple[str, str]
) -> None:
    decimal, thousands = style
    texts = [
        f"{value:,f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
        for value in values
    ]
    numbers = NumberReader(decimal, thousands, False).read(pa.array(texts, pa.string()), 4)
    assert not any(rows.any() for rows in numbers.faults.values())
    assert numbers.array().to_pylist() == values


@example(["0e0."])
@given(st.lists(st.text("0123456789.,-+()e' ", max_size=8), max_size=20))
def test_no_text_is_read_as_another_number(texts: list[str]) -> None:
    """What is read agrees with Python's decimal; what Python cannot read may be refused."""
    numbers = NumberReader(".", "", False).read(pa.array(texts, pa.string()), 4)
    bad = np.zeros(len(texts), bool)
    for rows in numbers.faults.values():
        bad |= rows
    for text, scaled, refused in zip(texts, numbers.scaled.tolist(), bad.tolist(), strict=True):
        plain = text.strip()
        if plain.startswith("(") and plain.endswith(")"):
            plain = "-" + plain[1:-1]
        elif plain.endswith("-"):
            plain = "-" + plain[:-1]
        if not refused:
            assert Decimal(plain).scaleb(4) == scaled


@given(st.lists(st.sampled_from(["1.5", "-2", "x", "9e9", "1.23456", None]), max_size=30))
def test_reading_distinct_values_changes_nothing(texts: list[str | None]) -> None:
    column = pa.array(texts * 200, pa.string())
    reader, clock = NumberReader(".", "", False), MomentReader(("%Y", "epoch"), "Europe/London")
    many, one = reader.read(column, 4), reader.read(pa.array(texts, pa.string()), 4)
    assert many.array().to_pylist() == one.array().to_pylist() * 200
    assert {k: v.tolist() for k, v in many.faults.items() if v.any()} == {
        k: v.tolist() * 200 for k, v in one.faults.items() if v.any()
    }
    late, early = clock.read(column), clock.read(pa.array(texts, pa.string()))
    assert late.array().to_pylist() == early.array().to_pylist() * 200
    assert late.faults["time.unreadable"].tolist() == early.faults["time.unreadable"].tolist() * 200


@given(st.lists(st.floats(-1e12, 1e12), max_size=20))
def test_floats_mean_their_shortest_decimal(values: list[float]) -> None:
    numbers = NumberReader(".", "", True).read(pa.array(values, pa.float64()), 4)
    for value, found in zip(values, numbers.array().to_pylist(), strict=True):
        exact = Decimal(repr(value))
        assert abs(found - exact) <= Decimal("0.00005") + abs(exact) * Decimal("1e-15")
        if exact == exact.quantize(Decimal("0.01")):
            assert found == exact.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)


_FORMS = ("%d/%m/%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%m-%d-%Y %I:%M:%S %p", "%d.%m.%y %H:%M:%S")
_LOCAL = st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31)).map(
    lambda t: t.replace(microsecond=0)
)
_ZONES = st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC",
                          "Asia/Kathmandu", "America/Sao_Paulo"])  # fmt: skip


@given(st.lists(_LOCAL, min_size=1, max_size=10), _ZONES, st.sampled_from(_FORMS))
def test_times_on_the_shop_s_clock(moments: list[datetime], zone: str, form: str) -> None:
    if "%y" in form:
        moments = [
            t.replace(year=2000 + t.year % 60) for t in moments if (t.month, t.day) != (2, 29)
        ]
    texts = [moment.strftime(form) for moment in moments]
    read = MomentReader((form,), zone).read(pa.array(texts, pa.string()))
    assert not any(rows.any() for rows in read.faults.values())
    expected = [t.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for t in moments]
    assert read.array().to_pylist() == expected


@given(st.lists(st.integers(-(10**15), 4 * 10**15), min_size=1, max_size=30), _ZONES)
def test_zones_agree_with_python(micros: list[int], zone: str) -> None:
    from datetime import timedelta

    found = Zone(zone).to_utc(np.array(micros, np.int64)).tolist()
    epoch = datetime(1970, 1, 1)
    for local, utc in zip(micros, found, strict=True):
        moment = (epoch + timedelta(microseconds=local)).replace(tzinfo=ZoneInfo(zone))
        expected = moment.astimezone(UTC) - epoch.replace(tzinfo=UTC)
        assert utc == expected // timedelta(microseconds=1)


@given(st.lists(st.lists(st.integers(0, 5), max_size=30), max_size=12))
def test_occurrences_count_over_all_calls(calls: list[list[int]]) -> None:
    counter = Occurrences(Path("unused"))
    seen: dict[int, int] = {}
    for call in calls:
        expected = []
        for value in call:
            expected.append(seen.get(value, 0))
            seen[value] = expected[-1] + 1
        ids = pa.array([f"{value:016x}{0:016x}" for value in call], pa.string())
        assert counter.count(ids).tolist() == expected


def test_occurrences_beyond_memory_go_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retaild_plugins.sources.tabular import occurrences

    monkeypatch.setattr(occurrences, "_IN_MEMORY", 100)
    counter = Occurrences(tmp_path / "state")
    ids = pa.array([f"{n:016x}{0:016x}" for n in range(150)])
    assert counter.count(ids).max() == 0
    assert counter.count(ids).tolist() == [1] * 150
    assert counter.count(ids.slice(10, 5)).tolist() == [2] * 5
    assert list((tmp_path / "state").iterdir()) == []
