"""Which price was on the shelf: small shops worked out by hand."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from retaild_plugins.trainers.price.lines import SaleLines
from retaild_plugins.trainers.price.panel import build_panel, on_sale
from retaild_plugins.trainers.price.shelf import shelf_prices

PENALTY = 2.0


def lines(rows: list[tuple[str, int, str, float, float]], weeks: int = 2) -> SaleLines:
    """Rows are (product, day, receipt, price, units)."""
    products = sorted({row[0] for row in rows})
    receipts = sorted({row[2] for row in rows})
    return SaleLines(
        product=np.array([products.index(row[0]) for row in rows]),
        receipt=np.array([receipts.index(row[2]) for row in rows]),
        day=np.array([row[1] for row in rows]),
        price=np.array([row[3] for row in rows]),
        units=np.array([row[4] for row in rows]),
        product_ids=products,
        first_day=date(2024, 1, 1),
        days=7 * weeks,
    )


def path_of(sales: SaleLines) -> list[float]:
    """The first product's shelf price per day."""
    _, shelf = shelf_prices(sales, PENALTY)
    return [float(shelf.levels[0, level]) for level in shelf.path[0]]


def test_a_new_price_is_followed_on_its_day() -> None:
    before = [("A", day, f"a{day}{n}", 2.00, 1.0) for day in range(5) for n in range(3)]
    after = [("A", day, f"b{day}{n}", 2.20, 1.0) for day in range(5, 14) for n in range(3)]
    assert path_of(lines(before + after)) == [2.00] * 5 + [2.20] * 9


def test_single_bargains_are_not_a_price_change() -> None:
    usual = [("A", day, f"a{day}{n}", 2.00, 1.0) for day in range(14) for n in range(2)]
    bargains = [("A", 3, "x", 1.50, 40.0), ("A", 9, "y", 1.50, 60.0)]
    assert path_of(lines(usual + bargains)) == [2.00] * 14


def test_a_price_list_that_runs_beside_is_none_of_the_shelf() -> None:
    """Wholesale at 1.80 every day, and on days 6 to 8 nobody else came: still 2.00."""
    open_days = [day for day in range(14) if not 6 <= day <= 8]
    shelf = [("A", day, f"a{day}{n}", 2.00, 1.0) for day in open_days for n in range(4)]
    beside = [("A", day, f"w{day}{n}", 1.80, 24.0) for day in range(14) for n in range(2)]
    assert path_of(lines(shelf + beside)) == [2.00] * 14


def test_receipts_of_another_price_list_are_left_out() -> None:
    """The web list adds a fifth on everything. Product Z sold in the shop in week 1 and on the web
    only in week 2: that is not a price rise."""
    rows = []
    for day in range(14):
        for product, price in (("A", 2.0), ("B", 3.0), ("C", 4.0)):
            rows += [(product, day, f"s{day}", price, 1.0), (product, day, f"t{day}", price, 1.0)]
            rows += [(product, day, f"web{day}", round(price * 1.2, 2), 1.0)]
    rows += [("Z", day, f"s{day}", 5.0, 1.0) for day in range(7)]
    rows += [("Z", day, f"web{day}", 6.0, 1.0) for day in range(7, 14)]
    sales = lines(rows)
    kept, shelf = shelf_prices(sales, PENALTY)
    assert len(kept.day) == 14 * 3 * 2 + 7
    assert set(shelf.levels[3][shelf.path[3]]) == {5.0}


def test_a_sale_on_everything_is_a_price_change() -> None:
    """All receipts of the second week pay 30 % less: no other list, the shop's own reduction."""
    rows = []
    for day in range(14):
        for number in range(4):
            for product, price in (("A", 2.0), ("B", 3.0), ("C", 4.0)):
                paid = price if day < 7 else round(price * 0.7, 2)
                rows.append((product, day, f"{day}-{number}", paid, 1.0))
    kept, _ = shelf_prices(lines(rows), PENALTY)
    assert len(kept.day) == len(rows)
    assert path_of(lines(rows)) == [2.0] * 7 + [1.4] * 7


def test_a_week_counts_for_the_price_that_stood_longer() -> None:
    """Price change on the Wednesday: 5 of 7 equal days, and only their units."""
    rows = [("A", day, f"{day}-{n}", 2.0 if day < 2 else 2.2, 3.0) for day in range(7)
            for n in range(4)]  # fmt: skip
    kept, shelf = shelf_prices(lines(rows, weeks=1), PENALTY)
    panel = build_panel(kept, shelf, {"A": "C"}, bulk_multiple=10)
    assert panel.exposure[0, 0] == pytest.approx(5 / 7)
    assert panel.units[0, 0] == 5 * 4 * 3
    assert np.exp(panel.log_price[0, 0]) == np.float64(2.2)


def test_a_wholesale_line_counts_as_ten_usual_ones() -> None:
    rows = [("A", day, f"{day}", 2.0, 3.0) for day in range(7)] + [("A", 3, "big", 2.0, 500.0)]
    kept, shelf = shelf_prices(lines(rows, weeks=1), PENALTY)
    panel = build_panel(kept, shelf, {}, bulk_multiple=10)
    assert panel.units[0, 0] == 7 * 3 + 30
    assert panel.categories == ["OTHER"]


def test_gaps_are_weak_demand_or_absence() -> None:
    """A product with 3 receipts a week does not stay unsold for 4 weeks by chance (e^-6 at two
    thirds of its rate); one with a receipt every other week does."""
    often = [3, 3, 0, 3, 3, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 3]
    seldom = [1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    receipts = np.array([often, seldom])
    seen = on_sale(receipts, np.ones(receipts.shape), np.ones(receipts.shape, bool))
    assert seen[0].tolist() == [True] * 5 + [False] * 5 + [True] * 6
    assert seen[1].tolist() == [True] * 10 + [False] * 6
