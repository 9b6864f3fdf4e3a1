"""What the source makes of a message, without a broker."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.cluster.kafka.message import MAX_EVENTS, MessageError, MessageReader
from retaild_plugins.cluster.kafka.source_config import KafkaSourceConfig

from retaild.api import BuildContext

AT = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
SALE = {"family": "sale", "receipt_id": "r1", "product_id": "milk", "quantity": "1",
        "unit_price": "2.50", "event_time": "2026-07-02T10:00:00"}  # fmt: skip


def reader(**more: Any) -> MessageReader:
    context = BuildContext(
        "till", Path("state"), Path("lake"), timezone="Europe/London", store="high-street"
    )
    return MessageReader(KafkaSourceConfig.model_validate({"topic": "t", **more}), context)


def events(value: object, **more: Any) -> list[Any]:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return list(reader(**more).events(content, AT))


def test_what_is_left_out_is_the_shops() -> None:
    (event,) = events(SALE)
    assert (event.source, event.store, event.currency) == ("till", "high-street", "GBP")
    # London keeps summer time in July: 10:00 there is 09:00 UTC.
    assert event.event_time == datetime(2026, 7, 2, 9, 0, tzinfo=UTC)
    (event,) = events({**SALE, "event_time": None})
    assert event.event_time == AT


def test_equal_messages_are_one_event_and_equal_events_of_one_message_are_two() -> None:
    (one,), (again,) = events(SALE), events(SALE)
    assert one.event_id == again.event_id
    first, second = events([SALE, SALE])
    assert first.event_id == one.event_id
    assert second.event_id == f"{one.event_id}-1"
    (named,) = events({**SALE, "event_id": "mine"})
    assert named.event_id == "mine"


@pytest.mark.parametrize(
    ("value", "key", "family"),
    [
        (b"\xff", "kafka.text", ""),
        (b"", "kafka.empty", ""),
        (b"what?", "kafka.json", ""),
        (b"[1]", "kafka.json", ""),
        ({"family": "dead_letter"}, "kafka.family", ""),
        ({**SALE, "quantity": "many"}, "kafka.event", "sale"),
        ({**SALE, "event_time": "yesterday"}, "kafka.event", "sale"),
        ({**SALE, "tip": 1}, "kafka.event", "sale"),
        ([SALE, {**SALE, "product_id": ""}], "kafka.event", "sale"),
        ([SALE] * (MAX_EVENTS + 1), "kafka.size", ""),
    ],
)
def test_what_cannot_be_read_says_why(value: object, key: str, family: str) -> None:
    with pytest.raises(MessageError) as caught:
        events(value)
    assert (caught.value.key, caught.value.family) == (key, family)
    assert str(caught.value).endswith(".")


def test_a_json_line_is_mapped_by_dotted_paths() -> None:
    lines = {
        "family": "sale",
        "fields": {"receipt_id": "receipt.number", "product_id": "sku", "quantity": "n",
                   "unit_price": "price", "customer_id": "card"},
        "constants": {"currency": "EUR"},
    }  # fmt: skip
    value = {"receipt": {"number": "r9"}, "sku": "tea", "n": 2, "price": 1.1, "card": ""}
    (event,) = events(value, lines=lines)
    assert (event.receipt_id, str(event.unit_price), event.currency) == ("r9", "1.1", "EUR")
    assert event.customer_id is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"family": "sale", "fields": {"colour": "c"}}, "no field 'colour'"),
        ({"family": "sale", "fields": {"store": "s"}, "constants": {"source": "x"}}, "no field"),
        ({"family": "sale", "columns": ["a"], "fields": {"store": "b"}}, "column 'b'"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        reader(lines=wrong)
