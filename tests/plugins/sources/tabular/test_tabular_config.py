"""Settings: what is refused with which words; columns by rules; every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from retaild_plugins.sources.tabular.config import FAMILIES, TabularConfig
from retaild_plugins.sources.tabular.plugin import retaild_sources
from retaild_plugins.sources.tabular.source import TabularSource

from retaild.events import FAMILIES as CONTRACT
from retaild.testing.source import events_of, letters_of, read_all

SALE = {"receipt_id": "r", "product_id": "a", "quantity": "q", "unit_price": "p", "event_time": "t"}
NewSource = Callable[..., TabularSource]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pattern": "../*.csv"}, "pattern of file names"),
        ({"encoding": "utf-9"}, "no text encoding 'utf-9'"),
        ({"encoding": "utf-32"}, "convert the file to UTF-8"),
        ({"delimiter": ",,"}, "one ASCII sign"),
        ({"timezone": "Europe/Lundon"}, "no time zone 'Europe/Lundon'"),
        ({"columns": {"price": "p"}}, "a sale has no field 'price'"),
        ({"columns": {**SALE, "event_id": "id"}}, "no field 'event_id'"),
        ({"columns": {"receipt_id": "r"}}, "product_id, quantity, unit_price"),
        ({"columns": {**SALE, "store": {}}}, "exactly one of column, constant, sum, join"),
        ({"columns": {**SALE, "store": {"constant": "x", "column": "y"}}}, "exactly one"),
        ({"lines": {"product": "(" }}, "not a regular expression"),
        ({"decimal": ",", "thousands": ","}, "cannot be the same sign"),
        ({"currency": "gbp"}, "pattern"),
        ({"dates": []}, "at least 1 item"),
        ({"colums": {}}, "Extra inputs"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TabularConfig.model_validate({"path": "x", **settings})
    assert words in str(raised.value)


def test_every_family_but_dead_letters_can_be_read() -> None:
    assert set(FAMILIES) == set(CONTRACT) - {"dead_letter"}
    (spec,) = retaild_sources()
    assert spec.families == FAMILIES
    assert spec.imports_files


def test_every_setting_is_described() -> None:
    (spec,) = retaild_sources()
    models = [spec.config, *(m for m in (TabularConfig.model_fields["lines"].annotation,) if m)]
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, name


@pytest.fixture
def read(tmp_path: Path, new_source: NewSource) -> Any:
    def reader(rows: list[dict[str, Any]], **settings: Any) -> tuple[list[dict[str, Any]], Any]:
        path = tmp_path / "x.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        batches = read_all(new_source(path, **settings))
        return events_of(batches).to_pylist(), letters_of(batches)

    return reader


LINE = {"r": "1", "a": "10001", "q": 2, "p": 2.5, "t": "2024-03-01"}


def test_constants_sums_joins_signs_and_words(read: Any) -> None:
    columns = {
        "receipt_id": {"join": ["till", "r"], "separator": "-"},
        "product_id": "a",
        "quantity": "q",
        "unit_price": "p",
        "event_time": {"join": ["date", "clock"]},
        "discount": {"sum": ["d1", "d2"], "negate": True},
        "currency": {"constant": "EUR"},
        "country": {"column": "land", "values": {"DE": "Germany"}},
    }
    rows = [
        {**LINE, "till": 7, "date": "2024-03-01", "clock": "10:30", "d1": -0.5, "d2": "-0.25",
         "land": "DE"},
        {**LINE, "till": 8, "date": "2024-03-01", "clock": "10:31", "d1": None, "d2": "",
         "land": "FR"},
        {**LINE, "till": 8, "date": "2024-03-01", "clock": "10:31", "d1": 1, "d2": 0},
    ]  # fmt: skip
    (first, second), (letter,) = read(rows, columns=columns)
    assert (first["receipt_id"], first["currency"], first["country"]) == ("7-1", "EUR", "Germany")
    assert first["event_time"].isoformat() == "2024-03-01T10:30:00+00:00"
    assert (first["discount"], second["discount"]) == (Decimal("0.75"), Decimal(0))
    assert second["country"] == "FR"
    assert letter.reason_key == "number.negative"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({}, "sale"),
        ({"q": -1}, "return"),
        ({"r": "C9"}, "return"),
        ({"kind": "R"}, "return"),
        ({"a": "POST"}, "service"),
        ({"a": "POST", "q": -1, "r": "C9"}, "service"),
        ({"a": "99999"}, "service"),
        ({"p": 0}, "adjustment"),
        ({"p": -5, "a": "B", "q": -1}, "adjustment"),
    ],
)
def test_kinds_of_lines(read: Any, line: dict[str, Any], kind: str) -> None:
    rules = {"product": r"^\d{5}[A-Za-z]*$", "service": "^99", "return_receipt": "^C",
             "return_column": "kind", "return_values": ["R"]}  # fmt: skip
    (event,), _ = read([{**LINE, **line}], columns=SALE, lines=rules)
    assert event["line_type"] == kind


def test_a_price_out_of_the_amount(read: Any) -> None:
    columns = {**SALE, "amount": "amount", "discount": "off"}
    del columns["unit_price"]
    rows = [
        {**LINE, "q": 3, "amount": "9.99", "off": "0.01"},
        {**LINE, "q": 3, "amount": "10"},
        {**LINE, "q": -3, "amount": "-10"},
        {**LINE, "q": 0, "amount": "1"},
        {**LINE, "q": 3},
    ]
    events, (letter,) = read(rows, columns=columns)
    prices = [event["unit_price"] for event in events]
    assert prices == [Decimal(text) for text in ("3.3333", "3.3333", "3.3333", "0")]
    assert events[0]["amount"] == Decimal("9.99")
    assert letter.reason_key == "field.missing"


def test_a_stated_price_stands_and_gaps_are_filled(read: Any) -> None:
    columns = {**SALE, "amount": "amount"}
    events, letters = read(
        [{**LINE, "amount": "4"}, {**LINE, "p": None, "amount": "4"}], columns=columns
    )
    assert [event["unit_price"] for event in events] == [Decimal("2.5"), Decimal(2)]
    assert letters == []


def test_rounding_when_asked(read: Any) -> None:
    rows = [{**LINE, "p": "2.34567"}]
    assert read(rows, columns=SALE)[1][0].reason_key == "number.too_precise"
    (event,), _ = read(rows, columns=SALE, round=True)
    assert event["unit_price"] == Decimal("2.3457")


@pytest.mark.parametrize(
    ("family", "row", "expected"),
    [
        ("product", {"product_id": "A", "name": "Cup", "unit_cost": "1.25", "excluded": "yes",
                     "gtin": "4006381333931", "event_time": "2024-03-01"},
         {"unit_cost": Decimal("1.25"), "excluded": True, "currency": "GBP", "brand": None}),
        ("stock", {"product_id": "A", "on_hand": 12.5, "event_time": "2024-03-01"},
         {"on_hand": Decimal("12.5")}),
        ("price", {"product_id": "A", "price": "2.50", "event_time": "2024-03-01"},
         {"price_type": "regular", "currency": "GBP"}),
        ("customer", {"customer_id": 17.0, "consent": False, "event_time": "2024-03-01"},
         {"customer_id": "17", "consent": False}),
        ("activity", {"action": "VIEW", "product_id": "A", "event_time": "2024-03-01T10:00Z"},
         {"action": "view", "customer_id": None}),
        ("external", {"topic": "weather", "subject": "rain", "value": 1.5,
                      "event_time": "2024-03-01"}, {"value": 1.5, "text": None}),
    ],
)  # fmt: skip
def test_each_family_by_its_own_names(
    read: Any, family: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    (event,), letters = read([row], family=family, columns={})
    assert letters == []
    assert {name: event[name] for name in expected} == expected
    # What the source wrote is what the contract's model takes.
    CONTRACT[family].model_validate(event)


@pytest.mark.parametrize(
    ("family", "row", "key"),
    [
        ("product", {"product_id": "A", "gtin": "12", "event_time": "2024-03-01"}, "text.pattern"),
        ("product", {"product_id": "A", "excluded": "perhaps", "event_time": "2024-03-01"},
         "boolean.unreadable"),
        ("activity", {"action": "dance", "event_time": "2024-03-01"}, "text.choice"),
        ("external", {"topic": "a", "subject": "b", "value": "x", "event_time": "2024-03-01"},
         "number.unreadable"),
        ("price", {"product_id": "A", "price": "1", "currency": "pounds",
                   "event_time": "2024-03-01"}, "text.pattern"),
    ],
)  # fmt: skip
def test_what_other_families_refuse(read: Any, family: str, row: dict[str, Any], key: str) -> None:
    events, (letter,) = read([row], family=family, columns={})
    assert events == []
    assert letter.reason_key == key


def test_typed_parquet_columns(tmp_path: Path, new_source: NewSource) -> None:
    import datetime as dt

    zone = dt.timezone(dt.timedelta(hours=2))
    table = pa.table(
        {
            "r": pa.array([1, 2, 3], pa.int32()),
            "a": pa.array(["x", "y", None]).dictionary_encode(),
            "q": pa.array([Decimal("1.5"), Decimal("2"), Decimal("3")], pa.decimal128(10, 2)),
            "p": pa.array([2.55, float("nan"), 1.0]),
            "t": pa.array([dt.datetime(2024, 7, 1, 12, tzinfo=zone)] * 3),
        }
    )
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    batches = read_all(new_source(path, columns=SALE))
    (event,) = events_of(batches).to_pylist()
    assert (event["receipt_id"], event["product_id"]) == ("1", "x")
    assert (event["quantity"], event["unit_price"]) == (Decimal("1.5"), Decimal("2.55"))
    assert event["event_time"].isoformat() == "2024-07-01T10:00:00+00:00"
    letters = letters_of(batches)
    assert [letter.place for letter in letters] == ["x.parquet row 2", "x.parquet row 3"]
    assert json.loads(letters[0].raw)["q"] == "2.00"
    assert letters[0].format == "json typed"


def test_replay_after_the_settings_were_mended(tmp_path: Path, new_source: NewSource) -> None:
    path = tmp_path / "x.csv"
    lines = ["1,A,2,2.50,01/03/2024 10:00"] * 2 + ["1,A,2,2.50,03/2024"]
    path.write_text("r,a,q,p,t\n" + "\n".join(lines) + "\n")
    letters = letters_of(read_all(new_source(path, columns=SALE)))
    assert len(letters) == 3
    mended = new_source(path, columns=SALE, dates=["%d/%m/%Y %H:%M"])
    one = mended.parse(letters[0])
    assert one.events.num_rows == 1
    together = mended.parse_many(letters)
    ids = together.events.column("event_id").to_pylist()
    assert ids == [one.events.column("event_id")[0].as_py(), ids[0] + "-2"]
    assert [letter.event_id for letter in together.dead_letters] == [letters[2].event_id]
    # The file read whole under the new settings gives the same.
    again = events_of(read_all(new_source(path, columns=SALE, dates=["%d/%m/%Y %H:%M"])))
    assert again.equals(together.events)


def test_the_readme_shows_the_sample_and_names_every_setting() -> None:
    import retaild_plugins.sources.tabular as package

    folder = Path(package.__file__).parent
    readme = (folder / "README.md").read_text("utf-8")
    assert (folder / "sample.toml").read_text("utf-8") in readme
    assert [name for name in TabularConfig.model_fields if f"`{name}`" not in readme] == []
