"""The lowest price of the 30 days before a reduction, worked out by hand. Days from 0."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from retaild.api.lake import Lake
from retaild.events import arrow_schema
from retaild.runtime.pricing.ledger import (
    Announcement,
    Ledger,
    lowest_price_30_days,
    read_ledgers,
)

DAY = 86_400.0


def announced(day: float, price: float, until: float | None = None) -> Announcement:
    end = None if until is None else until * DAY
    return Announcement(day * DAY, day * DAY, f"{day}", price, "GBP", valid_to=end)


def ledger(*announcements: Announcement, seen: tuple[tuple[float, float], ...] = ()) -> Ledger:
    found = Ledger(observed=[(day * DAY, price) for day, price in seen])
    for announcement in announcements:
        found.announce(announcement)
    return found


def lowest(history: Ledger, day: float, *, progressive: bool = False) -> float | None:
    return lowest_price_30_days(history, day * DAY, progressive=progressive)


def test_a_promotion_within_the_30_days_counts() -> None:
    """10.00, for days 20 to 25 8.00, then 10.00 again; reduced to 7.00 on day 40."""
    history = ledger(announced(0, 10.0), announced(20, 8.0, until=25), announced(40, 7.0))
    assert lowest(history, 40) == 8.0


def test_the_reduced_price_itself_does_not_count() -> None:
    history = ledger(announced(0, 10.0), announced(40, 7.0))
    assert lowest(history, 40) == 10.0


def test_a_price_in_force_when_the_30_days_begin_counts() -> None:
    """6.00 until noon of day 10; the window of a reduction on day 40 begins at day 10.0."""
    history = ledger(announced(0, 6.0), announced(10.5, 9.0), announced(40, 8.0))
    assert lowest(history, 40) == 6.0


def test_a_price_that_ended_as_the_30_days_begin_does_not() -> None:
    history = ledger(announced(0, 6.0), announced(10, 9.0), announced(40, 8.0))
    assert lowest(history, 40) == 9.0


def test_a_price_older_than_30_days_does_not_count() -> None:
    history = ledger(announced(0, 5.0), announced(5, 9.0), announced(40, 8.0))
    assert lowest(history, 40) == 9.0


def test_goods_younger_than_30_days_have_what_there_is() -> None:
    assert lowest(ledger(announced(30, 9.0), announced(40, 8.0)), 40) == 9.0


def test_without_any_price_there_is_none() -> None:
    assert lowest(ledger(announced(40, 8.0)), 40) is None


def test_prices_seen_at_the_till_count_until_one_is_announced() -> None:
    history = ledger(announced(30, 9.0), seen=((0.0, 7.0), (20.0, 8.0), (33.0, 1.0)))
    assert lowest(history, 40) == 7.0  # in force from day 0 to 20; 1.00 is no announced price


def test_a_promotion_that_ends_gives_way_to_the_regular_price() -> None:
    history = ledger(announced(0, 10.0), announced(1, 4.0, until=8))
    assert history.current(9 * DAY) == 10.0
    assert lowest(history, 40) == 10.0


def test_progressive_reductions_refer_to_the_days_before_the_first() -> None:
    """10 -> 9 (day 30) -> 8 (day 40) -> 7 (day 50). Article 6a(5)."""
    history = ledger(announced(0, 10.0), announced(30, 9.0), announced(40, 8.0), announced(50, 7.0))
    assert lowest(history, 50) == 8.0
    assert lowest(history, 50, progressive=True) == 10.0


def test_a_rise_in_between_starts_anew() -> None:
    """10 -> 8 (day 30) -> 10 (day 35) -> 9 (day 50): the series is the last step alone."""
    history = ledger(
        announced(0, 10.0), announced(30, 8.0), announced(35, 10.0), announced(50, 9.0)
    )
    assert lowest(history, 50, progressive=True) == 8.0


def test_a_long_pause_ends_the_series() -> None:
    """10 -> 9 (day 10), then 45 days later -> 8: no progressive reduction any more."""
    history = ledger(announced(0, 10.0), announced(10, 9.0), announced(55, 8.0))
    assert lowest(history, 55, progressive=True) == 9.0


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    import pyarrow as pa

    found = Lake(tmp_path)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    history = {
        "product_id": ["A", "A", "B"],
        "valid_from": [start + timedelta(days=9), start, start],
        "price": [Decimal("2.50"), Decimal("2.00"), Decimal("7.00")],
        "kind": ["observed"] * 3,
    }
    found.overwrite("gold.price_history", pa.table(history))
    event = {
        "event_id": "price:1", "event_time": start + timedelta(days=20), "source": "test",
        "store": "main", "product_id": "A", "price": Decimal("2.2500"), "currency": "GBP",
        "price_type": "regular", "valid_from": start + timedelta(days=20), "valid_to": None,
        "reason": None, "proposal_id": "1", "approved_by": "Ada",
    }  # fmt: skip
    found.append("silver.price", pa.Table.from_pylist([event], schema=arrow_schema("price")))
    return found


def test_ledgers_come_from_the_lake(lake: Lake) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    found = read_ledgers(lake)
    assert set(found) == {"A", "B"}
    assert found["A"].observed == [(start, 2.0), (start + 9 * DAY, 2.5)]
    assert found["A"].announced[0].approved_by == "Ada"
    assert found["A"].current(start + 20 * DAY) == 2.25
    assert set(read_ledgers(lake, ["B"])) == {"B"}


def test_an_empty_lake_has_no_ledgers(tmp_path: Path) -> None:
    assert read_ledgers(Lake(tmp_path)) == {}
