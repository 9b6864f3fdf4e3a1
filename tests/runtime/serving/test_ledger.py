"""The price in force, and the lowest of the 30 days before."""

from __future__ import annotations

from retaild.runtime.serving.ledger import Announcement, Ledger

DAY = 86_400.0


def announced(day: float, price: float, ends: float | None = None) -> Announcement:
    until = None if ends is None else ends * DAY
    return Announcement(day * DAY, day * DAY, f"e{day}", price, "GBP", valid_to=until)


def test_a_promotion_lasts_until_its_end() -> None:
    ledger = Ledger()
    for one in (announced(10, 8.0, ends=12), announced(0, 10.0)):
        ledger.announce(one)
    assert [ledger.current(day * DAY) for day in (-1, 0, 10, 11.9, 12)] == [None, 10, 8, 8, 10]
    assert ledger.next_change(0) == 10 * DAY
    assert ledger.next_change(10 * DAY) == 12 * DAY
    assert ledger.next_change(12 * DAY) is None


def test_announced_prices_win_over_observed_ones() -> None:
    ledger = Ledger(observed=[(0.0, 5.0), (20 * DAY, 6.0)])
    assert ledger.current(21 * DAY) == 6.0
    ledger.announce(announced(10, 7.0))
    assert ledger.current(9 * DAY) == 5.0
    assert ledger.current(21 * DAY) == 7.0


def test_the_lowest_price_of_thirty_days() -> None:
    ledger = Ledger(observed=[(0.0, 9.0), (50 * DAY, 7.0), (55 * DAY, 8.0)])
    # In force when the 30 days began: 9; then 7 for five days; then 8.
    assert ledger.lowest(60 * DAY) == 7.0
    # The price of 7 ended on day 55, more than 30 days before day 86.
    assert ledger.lowest(86 * DAY) == 8.0
    # A price that begins at that moment is not before it.
    assert ledger.lowest(50 * DAY) == 9.0
    assert ledger.lowest(0.0) is None
