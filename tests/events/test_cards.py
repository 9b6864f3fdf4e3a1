"""Card numbers: found, masked, and told from article numbers."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retaild.events.cards import card_rows, find_card, is_card, is_gtin, mask

# Test numbers that the schemes and processors publish; none was ever issued.
PUBLISHED = {
    "visa": "4111111111111111",
    "visa 13": "4222222222222",
    "visa 19": "4000000000000000006",
    "mastercard": "5555555555554444",
    "mastercard series 2": "2223003122003222",
    "american express": "378282246310005",
    "discover": "6011111111111117",
    "diners club": "30569309025904",
    "diners club 36": "36227206271667",
    "jcb": "3530111333300000",
    "unionpay": "6200000000000005",
    "maestro": "6759649826438453",
}


@pytest.mark.parametrize("number", PUBLISHED.values(), ids=PUBLISHED)
def test_published_test_numbers_are_found(number: str) -> None:
    assert find_card(number) == (0, len(number))
    assert find_card(f"card {number}, thanks") == (5, 5 + len(number))


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111  1111 - 1111 1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111\u20131111\u20131111\u20131111",
        "3782 822463 10005",
        "till 3 4111 1111 1111 1111 09/26",
    ],
)
def test_spaces_and_dashes_do_not_hide_a_number(text: str) -> None:
    assert find_card(text) is not None
    assert "1111 1111 1111" not in mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12 PENCILS",
        "4111111111111112",  # wrong check digit
        "9111111111111111",  # no issuer's range
        "41111111111111111111111",  # longer than any card number
        "411111111111",  # shorter
        "2010-12-01 08:26:00",
        "+44 20 7946 0958",
    ],
)
def test_other_numbers_pass(text: str) -> None:
    assert find_card(text) is None
    assert mask(text) == text


def test_the_mask_leaves_six_and_four_and_the_length() -> None:
    assert mask("4111111111111111") == "411111******1111"
    assert mask("x 4111-1111-1111-1111 y") == "x 4111-11**-****-1111 y"
    assert mask("4111111111111111 5555555555554444") == "411111******1111 555555******4444"


def test_bytes_are_masked_in_any_encoding() -> None:
    assert mask(b"\xff 4111111111111111;") == b"\xff 411111******1111;"
    for encoding in ("utf-16-le", "utf-16-be", "utf-16"):
        hidden = mask("a 4111 1111 1111 1111".encode(encoding))
        assert hidden.decode(encoding) == "a 4111 11** **** 1111"
    typographic = "4111\u20131111\u20131111\u20131111"
    assert mask(typographic.encode()).decode() == "4111\u201311**\u2013****\u20131111"


def test_gtin_check_digits() -> None:
    # GS1 General Specifications, figure 7.9-1: the check digit of 629104150021 is 3.
    assert is_gtin("6291041500213")
    assert not is_gtin("6291041500214")
    assert is_gtin("96385074")
    assert not is_gtin("4111111111111111")


def test_a_gtin_that_looks_like_a_card_passes_as_a_product() -> None:
    # Begins with 36, 14 digits, right by Luhn's and by GS1's check: a Diners number and a GTIN-14.
    both = next(
        text for text in (f"36{n:012d}" for n in range(10**6)) if is_gtin(text) and is_card(text)
    )
    assert find_card(both) is not None
    assert find_card(both, product=True) is None
    assert find_card(f"{both} ", product=True) is None
    assert find_card("4111111111111111", product=True) is not None


def table(**columns: list[object]) -> pa.Table:
    return pa.table(columns)


def test_card_rows_looks_at_every_text_column() -> None:
    found = card_rows(
        table(
            event_id=["a", "b", "c", "4111-1111-1111-1111"],
            customer_id=["4111111111111111", None, "12", "13"],
            description=["x", "paid with 5555 5555 5555 4444", None, "y"],
        )
    )
    assert found.tolist() == [True, True, False, True]


def test_card_rows_passes_gtins_and_own_ids() -> None:
    both = next(
        text for text in (f"36{n:012d}" for n in range(10**6)) if is_gtin(text) and is_card(text)
    )
    digest = "a4111111111111111bcdefabcdefabcd"
    found = card_rows(table(event_id=[digest, digest + "-2"], product_id=[both, "4006381333931"]))
    assert found.tolist() == [False, False]
    assert card_rows(table(description=[both])).tolist() == [True]


def test_card_rows_sees_a_card_number_in_a_number_column() -> None:
    prices = pa.array([Decimal("4222222222222.0000"), Decimal("2.5000")], pa.decimal128(18, 4))
    assert card_rows(pa.table({"unit_price": prices})).tolist() == [True, False]


@given(st.lists(st.text("0123456789- xé", max_size=40), min_size=1, max_size=30))
def test_card_rows_agrees_with_find_card(texts: list[str]) -> None:
    expected = [find_card(text) is not None for text in texts]
    assert card_rows(pa.table({"description": pa.array(texts, pa.string())})).tolist() == expected


@given(st.text("0123456789- a", max_size=60))
def test_nothing_is_found_in_what_is_masked(text: str) -> None:
    hidden = mask(text)
    assert find_card(hidden) is None
    assert len(hidden) == len(text)


@given(st.sampled_from(sorted(PUBLISHED.values())), st.text("ab ,;|", max_size=5), st.data())
def test_published_numbers_are_found_however_they_are_spaced(
    number: str, around: str, data: st.DataObject
) -> None:
    gaps = [data.draw(st.sampled_from(["", "", " ", "-"])) for _ in number]
    spaced = "".join(digit + gap for digit, gap in zip(number, gaps, strict=True))
    text = f"a{around}x{spaced}x{around}"
    assert find_card(text) is not None
