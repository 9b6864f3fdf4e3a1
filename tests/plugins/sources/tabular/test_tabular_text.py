"""CSV, TSV and JSON lines: what is read, what is refused, and with which bytes."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.sources.tabular import delimited
from retaild_plugins.sources.tabular.source import TabularSource

from retaild.events import DeadLetter
from retaild.testing.source import events_of, letters_of, read_all

HEADER = "receipt,article,text,pieces,price,time,customer\n"
GOOD = "1,A,Cup,2,2.50,2024-03-01 10:00,17\n"


@pytest.fixture
def read(tmp_path: Path, new_source: Callable[..., TabularSource]) -> Any:
    def reader(
        content: bytes | str, name: str = "tills.csv", **settings: Any
    ) -> tuple[list[dict[str, Any]], list[DeadLetter]]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (1_700_000_000, 1_700_000_000))
        batches = read_all(new_source(path, **settings))
        return (events_of(batches).to_pylist() if batches else []), letters_of(batches)

    return reader


def test_a_row_becomes_an_event(read: Any) -> None:
    (event,), letters = read(HEADER + GOOD)
    assert letters == []
    assert event["receipt_id"] == "1"
    assert event["quantity"] == Decimal("2.000")
    assert event["unit_price"] == Decimal("2.5000")
    assert event["currency"] == "GBP"
    assert event["source"] == "tills"
    assert event["line_type"] == "sale"
    assert event["event_time"].isoformat() == "2024-03-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ("1,A,Cup,2,2.50,2024-03-01 10:00", "row.columns"),
        ("1,A,Cup,2,2.50,2024-03-01 10:00,17,18", "row.columns"),
        ("1,A,Cup,two,2.50,2024-03-01 10:00,17", "number.unreadable"),
        ("1,A,Cup,2,2.50.1,2024-03-01 10:00,17", "number.unreadable"),
        ("1,A,Cup,inf,2.50,2024-03-01 10:00,17", "number.not_finite"),
        ("1,A,Cup,2,2.50001,2024-03-01 10:00,17", "number.too_precise"),
        ("1,A,Cup,2,123456789012345.5,2024-03-01 10:00,17", "number.out_of_range"),
        ("1,A,Cup,2,2.50,01.03.2024,17", "time.unreadable"),
        ("1,A,Cup,2,2.50,2024-02-30 10:00,17", "time.unreadable"),
        ("1,A,Cup,2,2.50,0024-03-01 10:00,17", "time.out_of_range"),
        (",A,Cup,2,2.50,2024-03-01 10:00,17", "field.missing"),
        ("1,A,Cup,,2.50,2024-03-01 10:00,17", "field.missing"),
        ("1,A,Cup,2,NULL,2024-03-01 10:00,17", "field.missing"),
        ("1," + "A" * 201 + ",Cup,2,2.50,2024-03-01 10:00,17", "text.too_long"),
        ("1,A," + "ö" * 2001 + ",2,2.50,2024-03-01 10:00,17", "text.too_long"),
        ('1,A,"Cup,2,2.50,2024-03-01 10:00,17', "row.quotes"),
        ('1,A,"Cup"s,2,2.50,2024-03-01 10:00,17', "row.quotes"),
        ("1,A,Cu\rp,2,2.50,2024-03-01 10:00,17", "row.quotes"),
        ("1,A,Cu\0p,2,2.50,2024-03-01 10:00,17", "row.encoding"),
        ("1,A," + "x" * 300 + ",2,2.50,2024-03-01 10:00,17", "row.too_long"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bad_row_is_kept_with_bytes_place_and_reason(
    read: Any, row: str, key: str, end: str
) -> None:
    limit = 256 if key == "row.too_long" else 100_000
    text = (HEADER + GOOD + row + "\n" + GOOD).replace("\n", end)
    events, (letter,) = read(text, max_row_bytes=limit)
    assert len(events) == 2
    assert letter.reason_key == key
    assert letter.raw == row.encode()
    assert letter.place == "tills.csv row 2 (line 3)"
    assert letter.reason.startswith("tills.csv row 2 (line 3): ")
    assert letter.target == "sale"


def test_a_reason_says_what_where_and_what_to_do(read: Any) -> None:
    _, (letter,) = read(HEADER + "1,A,Cup,2,2.50,01/03/24,17\n")
    assert letter.reason == (
        "tills.csv row 1 (line 2): event_time (column 'time') reads '01/03/24', which fits none "
        "of the forms iso. Mend the row, or add the file's form to `dates`. "
        "Then replay it with `retaildctl deadletter replay`."
    )


def test_lines_are_counted_through_quoted_line_ends(read: Any) -> None:
    quoted = '1,A,"two\nlines",2,2.50,2024-03-01 10:00,17\n'
    bad = '1,A,"three\n\nlines",?,2.50,2024-03-01 10:00,17\n'
    events, (letter,) = read(HEADER + quoted + "\n" + quoted + bad + GOOD)
    assert len(events) == 3
    assert events[0]["description"] == "two\nlines"
    # The empty line 4 is no row.
    assert letter.place == "tills.csv row 3 (line 7)"
    assert letter.raw == bad.encode().rstrip(b"\n")


def test_an_inch_sign_in_an_unquoted_text_is_a_sign(read: Any) -> None:
    events, letters = read(HEADER + '1,A,5" PLATE,2,2.50,2024-03-01 10:00,17\n' + GOOD)
    assert letters == []
    assert events[0]["description"] == '5" PLATE'


def test_a_quotation_mark_that_is_never_closed_costs_one_line(read: Any) -> None:
    bad = '1,A,"Cup,2,2.50,2024-03-01 10:00,17'
    events, (letter,) = read(HEADER + GOOD + bad + "\n" + GOOD * 5000)
    assert letter.raw == bad.encode()
    assert len(events) == 5001


def test_no_quoting_at_all(read: Any) -> None:
    events, letters = read(HEADER + '1,A,"Cup,2,2.50,2024-03-01 10:00,17\n', quote="")
    assert letters == []
    assert events[0]["description"] == '"Cup'


@pytest.mark.parametrize(
    ("encoding", "setting"),
    [("utf-8", "auto"), ("utf-8-sig", "auto"), ("cp1252", "auto"), ("latin-1", "latin-1"),
     ("cp1252", "cp1252"), ("utf-16", "auto"), ("utf-16-le", "auto"), ("utf-16-be", "utf-16-be")],
)  # fmt: skip
def test_encodings(read: Any, encoding: str, setting: str) -> None:
    text = HEADER + "1,A,Käsekuchen £5,2,2.50,2024-03-01 10:00,17\n" + GOOD
    events, letters = read(text.encode(encoding), encoding=setting)
    assert letters == []
    assert [event["description"] for event in events] == ["Käsekuchen £5", "Cup"]


def test_bytes_of_another_encoding_are_refused_exactly(read: Any) -> None:
    row = b"1,A,K\xe4se,2,2.50,2024-03-01 10:00,17"
    data = HEADER.encode() + row + b"\n" + GOOD.encode()
    events, (letter,) = read(data, encoding="utf-8")
    assert len(events) == 1
    assert (letter.reason_key, letter.raw) == ("row.encoding", row)
    (event, _), letters = read(data)  # auto: such a row is Windows-1252
    assert letters == []
    assert event["description"] == "Käse"


def test_a_refused_row_of_utf_16_keeps_its_bytes(read: Any) -> None:
    row = "1,A,Käse,?,2.50,2024-03-01 10:00,17"
    _, (letter,) = read((HEADER + row + "\n").encode("utf-16"))
    assert letter.raw == row.encode("utf-16-le")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(read: Any, delimiter: str) -> None:
    events, letters = read((HEADER + GOOD).replace(",", delimiter))
    assert (len(events), letters) == (1, [])


def test_a_preamble_and_names_from_the_settings(read: Any) -> None:
    fields = HEADER.strip().split(",")
    events, letters = read("Export of shop 7\n\n" + GOOD, skip_lines=2, fields=fields)
    assert (len(events), letters) == (1, [])


def test_german_numbers_and_dates(read: Any) -> None:
    rows = (
        '1;A;Cup;1,5;"1.234,50";31.12.2023 23:30;17\n'
        "1;A;Cup;2-;(2,50);1.3.2024;17\n"
        "1;A;Cup;1;2.50;01.03.2024;17\n"
    )
    events, (letter,) = read(
        HEADER.replace(",", ";") + rows,
        decimal=",",
        thousands=".",
        dates=["%d.%m.%Y %H:%M", "%d.%m.%Y"],
        timezone="Europe/Berlin",
    )
    assert [event["quantity"] for event in events] == [Decimal("1.5"), Decimal("-2")]
    assert [event["unit_price"] for event in events] == [Decimal("1234.5"), Decimal("-2.5")]
    assert events[0]["event_time"].isoformat() == "2023-12-31T22:30:00+00:00"
    assert events[1]["event_time"].isoformat() == "2024-02-29T23:00:00+00:00"
    # 2.50 is no number where a dot stands between thousands: it must not be read as 250.
    assert letter.reason_key == "number.unreadable"


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-03-31 00:59", "2024-03-31T00:59:00+00:00"),
        ("2024-03-31 01:30", "2024-03-31T01:30:00+00:00"),  # skipped by the clock
        ("2024-03-31 02:00", "2024-03-31T01:00:00+00:00"),
        ("2024-10-27 01:30", "2024-10-27T00:30:00+00:00"),  # shown twice: the first
        ("2024-10-27 02:00", "2024-10-27T02:00:00+00:00"),
        ("2024-07-01T10:00:00Z", "2024-07-01T10:00:00+00:00"),
        ("2024-07-01 10:00:00.5+02:00", "2024-07-01T08:00:00.500000+00:00"),
    ],
)
def test_the_shop_s_clock(read: Any, local: str, utc: str) -> None:
    (event,), _ = read(HEADER + f"1,A,Cup,2,2.50,{local},17\n")
    assert event["event_time"].isoformat() == utc


def test_customers_written_as_floats_by_a_spreadsheet(read: Any) -> None:
    row = "1.0,A.0,Cup,2,2.50,2024-03-01 10:00,17850.0\n"
    (event,), _ = read(HEADER + row)
    assert (event["customer_id"], event["receipt_id"]) == ("17850", "1")
    assert event["product_id"] == "A.0"
    (event,), _ = read(HEADER + row, trim_ids=False)
    assert event["customer_id"] == "17850.0"


def test_json_lines(read: Any) -> None:
    good = '{"receipt": 7, "article": "A", "pieces": 2, "price": 2.5, "time": "2024-03-01"}'
    bad = ['{"receipt": 7', "[1]", '{"receipt": 7, "article": "A"}', "7", '{"pieces": NaN}']
    columns = {"receipt_id": "receipt", "product_id": "article", "quantity": "pieces",
               "unit_price": "price", "event_time": "time"}  # fmt: skip
    events, letters = read("\n".join([good, *bad, good]) + "\n", "x.jsonl", columns=columns)
    assert [event["receipt_id"] for event in events] == ["7", "7"]
    assert events[1]["event_id"] == events[0]["event_id"] + "-2"
    assert [letter.raw.decode() for letter in letters] == bad
    assert [letter.place for letter in letters] == [
        f"x.jsonl row {n} (line {n})" for n in range(2, 7)
    ]


def test_json_paths_into_nested_objects(read: Any) -> None:
    row = '{"r": "1", "item": {"code": "A", "n": 2, "p": "2.50"}, "at": "2024-03-01T10:00Z"}\n'
    columns = {"receipt_id": "r", "product_id": "$.item.code", "quantity": "$.item.n",
               "unit_price": "$.item.p", "event_time": "at"}  # fmt: skip
    (event,), letters = read(row, "x.jsonl", columns=columns)
    assert letters == []
    assert (event["product_id"], event["quantity"]) == ("A", Decimal(2))


@pytest.mark.parametrize(
    ("name", "content", "key", "words"),
    [
        ("x.parquet", b"no parquet", "file.format", "Parquet"),
        ("x.csv", b"a,b\n1,2\n", "file.columns", "no column 'receipt'"),
        ("x.csv.gz", gzip.compress(HEADER.encode(), mtime=0)[:-9], "file.format", "gzip"),
        ("x.jsonl", b'[{"receipt": 1}]', "file.format", "one JSON array"),
        ("x.csv", "a".encode("utf-32"), "file.format", "UTF-32"),
    ],
)
def test_a_file_that_is_none_gets_one_clear_dead_letter(
    read: Any, name: str, content: bytes, key: str, words: str
) -> None:
    events, (letter,) = read(content, name)
    assert events == []
    assert letter.reason_key == key
    assert letter.place == name
    assert words in letter.reason


def test_a_packed_file_is_read_no_further_than_allowed(read: Any) -> None:
    bomb = gzip.compress((HEADER + GOOD * 200_000).encode())
    events, (letter,) = read(bomb, "x.csv.gz", max_unpacked_bytes=5_000_000)
    assert letter.reason_key == "file.too_large"
    assert 0 < len(events) < 200_000


def test_an_empty_file_and_one_with_names_only(read: Any) -> None:
    assert read("") == ([], [])
    assert read(HEADER) == ([], [])


def test_the_last_row_needs_no_line_end(read: Any) -> None:
    events, _ = read(HEADER + GOOD + GOOD.rstrip("\n"))
    assert len(events) == 2


def test_blocks_may_end_anywhere(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ['1,A,"a ""b"", c\r\nd",2,2.50,2024-03-01 10:00,17\n', GOOD, "\n", "1,A\n"]
    text = HEADER + "".join(rows[n % 4] for n in range(40))
    expected = read(text)
    for size in (1, 2, 3, 7, 50, 113):
        monkeypatch.setattr(delimited, "_BLOCK", size)
        assert read(text) == expected
