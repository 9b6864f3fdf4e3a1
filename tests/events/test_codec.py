"""An event keeps every value on its way through the log, in both codecs."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retaild.events import FAMILIES, DeadLetter, External, Sale, Stock, arrow_schema, family
from retaild.events.codec import decode_table, encode_events, encode_table, iter_events, to_table
from retaild.events.errors import UnknownFamilyError

words = st.text(string.ascii_letters + "äöü€ \\\"'\n,;", min_size=1, max_size=30).filter(str.strip)
moments = st.datetimes(
    datetime(1990, 1, 1),
    datetime(2090, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
money = st.decimals(-(10**9), 10**9, places=4)
quantities = st.decimals(-(10**9), 10**9, places=3)


@st.composite
def sales(draw: st.DrawFn) -> Sale:
    return Sale(
        event_id=draw(words),
        event_time=draw(moments),
        source="tills",
        receipt_id=draw(words),
        product_id=draw(words),
        description=draw(st.none() | words),
        quantity=draw(quantities),
        unit_price=draw(money),
        amount=draw(st.none() | money),
        currency="GBP",
        customer_id=draw(st.none() | words),
    )


def as_row(event: Sale) -> dict[str, Any]:
    return {**event.model_dump(), "line_type": event.line_type.value}


@given(st.lists(sales(), min_size=1, max_size=5))
def test_sales_come_back_exactly(events: list[Sale]) -> None:
    table = decode_table("sale", "json", encode_events(events))
    assert table.schema.equals(arrow_schema("sale"))
    assert table.to_pylist() == [as_row(event) for event in events]
    assert decode_table("sale", "arrow", encode_table(table)).equals(table)


@given(st.lists(sales(), min_size=1, max_size=3))
def test_the_hot_path_sees_the_same_events_as_floats_and_seconds(events: list[Sale]) -> None:
    payload = encode_events(events)
    arrow = encode_table(decode_table("sale", "json", payload))
    for from_json, from_arrow, event in zip(
        iter_events("sale", "json", payload),
        iter_events("sale", "arrow", arrow),
        events,
        strict=True,
    ):
        assert {**dict.fromkeys(from_arrow), **from_json} == pytest.approx(from_arrow)
        assert from_json["event_time"] == pytest.approx(event.event_time.timestamp())
        assert from_json["quantity"] == float(event.quantity)


def test_refused_bytes_survive_though_they_are_no_text() -> None:
    raw = bytes(range(256))
    letter = DeadLetter(
        event_id="d",
        event_time=datetime(2011, 1, 1, tzinfo=UTC),
        source="tills",
        target="sale",
        place="row 1",
        reason_key="k",
        reason="r",
        raw=raw,
    )
    payload = encode_events([letter])
    assert decode_table("dead_letter", "json", payload)["raw"].to_pylist() == [raw]
    assert next(iter_events("dead_letter", "json", payload))["raw"] == raw
    assert DeadLetter.model_validate_json(payload) == letter


def test_a_column_that_an_older_writer_did_not_know_is_null() -> None:
    stock = Stock(
        event_id="s",
        event_time=datetime(2011, 1, 1, tzinfo=UTC),
        source="api",
        product_id="p",
        on_hand=Decimal("1.5"),
    )
    table = decode_table("stock", "json", encode_events([stock]))
    older = encode_table(table.drop_columns(["store"]))
    found = decode_table("stock", "arrow", older)
    assert found["store"].to_pylist() == [None]
    assert found["on_hand"].to_pylist() == [Decimal("1.500")]


@given(st.floats(allow_nan=False, allow_infinity=False), st.none() | words)
def test_outside_values_stay_floats(value: float, text: str | None) -> None:
    event = External(
        event_id="x",
        event_time=datetime(2011, 1, 1, tzinfo=UTC),
        source="weather",
        topic="temperature",
        subject="London",
        value=value,
        text=text,
    )
    (row,) = to_table([event]).to_pylist()
    assert row == event.model_dump()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_has_an_arrow_schema_with_the_common_columns(name: str) -> None:
    schema = arrow_schema(name)
    assert schema.names[:4] == ["event_id", "event_time", "source", "store"]
    assert schema.field("event_time").type == pa.timestamp("us", tz="UTC")
    assert set(schema.names) == set(family(name).model_fields)


def test_an_unknown_family_is_named_with_those_that_exist() -> None:
    with pytest.raises(UnknownFamilyError, match=r"'sales'.*Use one of: activity, customer"):
        family("sales")
