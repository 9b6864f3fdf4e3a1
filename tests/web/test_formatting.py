"""Numbers, money, times; expected values written by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from retaild.web.environment import schedule
from retaild.web.formatting import STYLES, Formats, ago, duration, product_name, utc

POUNDS = Formats("GBP", ZoneInfo("Europe/London"))
EUROS = Formats("EUR", ZoneInfo("Europe/Berlin"), STYLES["de"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "£1,234.50"),
        ("2.1000", "£2.10"),
        (Decimal("-0.125"), "−£0.12"),  # half to even
        (Decimal("-0.001"), "£0.00"),
        (0, "£0.00"),
        (None, "–"),
        (float("nan"), "–"),
        ("much", "–"),
    ],
)
def test_money(value: object, text: str) -> None:
    assert POUNDS.money(value) == text  # type: ignore[arg-type]


def test_money_of_other_countries() -> None:
    assert EUROS.money(-1234.5) == "−1.234,50\u00a0€"
    assert Formats("JPY", ZoneInfo("UTC")).money(1500) == "¥1,500"
    assert Formats("CHF", ZoneInfo("UTC")).money("9.95") == "CHF\u00a09.95"
    assert POUNDS.signed_money(3) == "+£3.00"
    assert POUNDS.signed_money(-3) == "−£3.00"
    assert POUNDS.signed_money(0.001) == "£0.00"


def test_numbers() -> None:
    assert POUNDS.percent(0.4567) == "46\u202f%"
    assert POUNDS.signed_percent(-0.1) == "−10.0\u202f%"
    assert [POUNDS.compact(v) for v in (0.5, 7, 9999, 12_400, 1_300_000)] == [
        "0.5", "7", "9,999", "12.4\u202fk", "1.3\u202fM",
    ]  # fmt: skip
    assert [POUNDS.quantity(v) for v in (6, "6.000", "0.250", -2.0)] == ["6", "6", "0.25", "−2"]
    assert [POUNDS.size(v) for v in (512, 1536, 5 * 2**30)] == [
        "512\u00a0B", "1.5\u00a0KiB", "5.0\u00a0GiB",
    ]  # fmt: skip
    assert [POUNDS.units(v) for v in (3.14, 1289.4)] == ["3.1", "1,289"]


def test_times_are_the_shops() -> None:
    # Summer: London is an hour ahead of UTC.
    assert POUNDS.time("2011-07-01T23:30:00Z") == "2 Jul 2011, 00:30"
    assert utc("2011-07-01T23:30:00Z") == "2011-07-01T23:30:00Z"
    assert POUNDS.time(1323434400.0) == "9 Dec 2011, 12:40"
    assert POUNDS.date(datetime(2011, 12, 9, tzinfo=UTC)) == "9 Dec 2011"
    assert POUNDS.time("no time") == "–"
    assert utc(None) == ""


def test_spans() -> None:
    assert [duration(s) for s in (0.0008, 0.34, 4.21, 190, 18120, 273_600)] == [
        "0.8 ms", "340 ms", "4.2 s", "3 min 10 s", "5 h 2 min", "3 d 4 h",
    ]  # fmt: skip
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert ago("2026-01-01T23:59:58Z", now) == "just now"
    assert ago("2026-01-01T23:50:00Z", now) == "10 min ago"
    assert ago("2026-01-02T03:00:00Z", now) == "in 3 h"


def test_shouted_names_become_readable() -> None:
    assert product_name("WHITE HANGING HEART T-LIGHT HOLDER") == (
        "White hanging heart T-light holder"
    )
    assert product_name("JUMBO  BAG\tUK 3D ") == "Jumbo bag UK 3D"
    assert product_name("iPad Case") == "iPad Case"
    assert product_name(None) == ""


def test_schedules() -> None:
    asked = ("every 1800 s", "every 3600 s", "every 86400 s", "every 90 s")
    shown = ["every 30 min", "every hour", "every day", "every 90 s"]
    assert [schedule(text) for text in asked] == shown
    assert schedule("cron 30 3 * * *") == "cron 30 3 * * *"
    assert schedule("") == "by hand"
