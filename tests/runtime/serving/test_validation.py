"""Bodies of every shape; what is wrong comes back with its bytes and the reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retaild.events.cards import mask
from retaild.events.codec import iter_events
from retaild.runtime.serving.errors import BadEventsError, TooManyEventsError
from retaild.runtime.serving.validation import MAX_EVENTS, Body, Defaults, check, dead_letter
from tests.runtime.serving.shops import NOON, Till, busy_month

DEFAULTS = Defaults("api", "main", NOON)
#: Visa's published test number; passes Luhn, in Visa's range.
CARD = "4111111111111111"


def view(**fields: object) -> dict[str, object]:
    return {"family": "activity", "action": "view", "customer_id": "c", "product_id": "p", **fields}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(view()),
        json.dumps([view(), view()]),
        json.dumps({"events": [view()]}),
        json.dumps(view()) + "\n" + json.dumps(view()) + "\n",
        "  " + json.dumps([view()], indent=2) + "\n",
    ],
)
def test_every_shape_is_read(text: str) -> None:
    good, bad = check(Body(text.encode(), "application/json"), DEFAULTS)
    assert good
    assert not bad
    assert {one.event.family for one in good} == {"activity"}
    assert good[0].event.event_time.timestamp() == NOON


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"events": []}', b"nonsense", b"3", b"[1,", b"\xff"]
)
def test_what_holds_no_events_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(BadEventsError):
        Body(body, "application/json")


def test_too_many_events_are_refused() -> None:
    with pytest.raises(TooManyEventsError):
        Body(json.dumps([1] * (MAX_EVENTS + 1)).encode(), "")


def test_the_bytes_of_each_refused_element_are_kept() -> None:
    wrong = '{"family":"activity",  "action":"jump","customer_id":"c"}'
    body = f"[{json.dumps(view())}, {wrong} ,7,\n{json.dumps(view(extra=1))}]".encode()
    good, bad = check(Body(body, ""), DEFAULTS)
    assert [one.index for one in good] == [0]
    assert [one.raw.decode() for one in bad] == [wrong, "7", json.dumps(view(extra=1))]
    assert [one.key for one in bad] == ["event.invalid", "event.not_an_object", "event.invalid"]
    assert "action" in bad[0].reason


def test_a_bad_line_of_ndjson_does_not_hide_the_others() -> None:
    body = json.dumps(view()).encode() + b'\n{"family": \n' + json.dumps(view()).encode()
    good, bad = check(Body(body, "application/x-ndjson"), DEFAULTS)
    assert [one.index for one in good] == [0, 2]
    assert [(one.index, one.raw) for one in bad] == [(1, b'{"family": ')]


def test_unknown_families_and_dead_letters_are_refused() -> None:
    body = json.dumps([view(family="weather"), view(family="dead_letter"), {"a": 1}]).encode()
    good, bad = check(Body(body, ""), DEFAULTS)
    assert not good
    assert {one.key for one in bad} == {"event.unknown_family"}


@pytest.mark.parametrize("field", ["query", "session_id", "customer_id", "event_id", "product_id"])
def test_a_card_number_is_refused_in_any_field_and_kept_nowhere(field: str) -> None:
    body = json.dumps(view(**{field: f"{CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}"})).encode()
    good, (refused,) = check(Body(body, ""), DEFAULTS)
    assert not good
    assert refused.key == "event.card_number"
    letter = dead_letter(refused, DEFAULTS, "POST").model_dump_json() + str(refused.public())
    assert CARD not in letter.replace(" ", "")
    assert CARD[6:12] not in refused.raw.decode().replace(" ", "")


def test_a_product_code_with_a_valid_gtin_passes() -> None:
    # GS1's own example GTIN-13, 4006381333931; also a 14-digit one whose digits pass Luhn.
    body = json.dumps(view(product_id="4006381333931")).encode()
    good, bad = check(Body(body, ""), DEFAULTS)
    assert good
    assert not bad


def test_till_events_come_through_unchanged() -> None:
    till = Till()
    events = [till.sale("c", "p"), till.stock("p", 3), till.price("p", "1.99", NOON)]
    good, bad = check(Body(json.dumps(events).encode(), ""), DEFAULTS)
    assert not bad
    assert [one.event.event_id for one in good] == [event["event_id"] for event in events]


def test_the_plain_form_is_what_the_log_gives_back() -> None:
    for event in busy_month(9, days=3):
        (checked,), _ = check(Body(json.dumps(event).encode(), ""), DEFAULTS)
        family = checked.event.family
        (from_log,) = iter_events(family, "json", checked.line)
        assert checked.plain() == from_log


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=4)))
def test_any_json_is_answered_element_by_element(elements: list[object]) -> None:
    if not elements:
        return
    body = json.dumps(elements).encode()
    good, bad = check(Body(body, ""), DEFAULTS)
    assert not good
    assert [one.index for one in bad] == list(range(len(elements)))
    assert [one.raw for one in bad] == [mask(json.dumps(one).encode()) for one in elements]
