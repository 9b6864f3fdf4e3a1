"""Product x week: units sold at the shelf price, for how much of the week, at which price."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.price.lines import SaleLines
from retaild_plugins.trainers.price.shelf import Shelf

Matrix = NDArray[np.float64]

#: Weeks in which the week's main shelf price stood for less of the trade than this are left out.
MIN_EXPOSURE = 0.25
#: A run of empty weeks that a product's own rate of receipts makes this unlikely (e^-6) is taken
#: for a time off sale (sold out, out of season), not for weak demand at the price.
OFF_SALE = 6.0


@dataclass(frozen=True, slots=True)
class Panel:
    """Everything the demand model learns from. Matrices are (product, week).

    `units`: sold at the shelf price; `exposure`: share of the week's trade (all receipts) that the
    price stood; `log_price`; `observed`: the product was on sale, so that no units means none
    wanted. `category` are codes into `categories`. `first_week` is a Monday.
    """

    product_ids: list[str]
    category: NDArray[np.int64]
    categories: list[str]
    units: Matrix
    exposure: Matrix
    log_price: Matrix
    observed: NDArray[np.bool_]
    first_week: date

    @property
    def weeks(self) -> int:
        return int(self.units.shape[1])

    def until(self, week: int) -> Panel:
        """The same products as if the weeks from `week` on had not been seen."""
        return replace(
            self,
            units=self.units[:, :week],
            exposure=self.exposure[:, :week],
            log_price=self.log_price[:, :week],
            observed=self.observed[:, :week],
        )

    def only(self, keep: NDArray[np.bool_]) -> Panel:
        """The products where `keep`; categories stay as they are."""
        return replace(
            self,
            product_ids=[name for name, kept in zip(self.product_ids, keep, strict=True) if kept],
            category=self.category[keep],
            units=self.units[keep],
            exposure=self.exposure[keep],
            log_price=self.log_price[keep],
            observed=self.observed[keep],
        )

    def enough(self, weeks: int) -> NDArray[np.bool_]:
        """Products seen on sale in at least so many weeks, and sold in some."""
        enough: NDArray[np.bool_] = (self.observed.sum(1) >= weeks) & (
            np.where(self.observed, self.units, 0).sum(1) > 0
        )
        return enough


def build_panel(
    lines: SaleLines, shelf: Shelf, category_of: dict[str, str], bulk_multiple: float
) -> Panel:
    """Aggregate lines at the shelf price to weeks.

    A week in which the shelf price changed counts for the price that stood longer, with the units
    and the share of trade of its own days only.
    """
    products, weeks = len(lines.product_ids), lines.days // 7
    trade = np.bincount(lines.day, minlength=lines.days).reshape(weeks, 7).astype(float)
    weekly = trade.sum(1, keepdims=True)
    # Days of a week with no trade at all weigh alike; its cells are left out below.
    share = np.where(weekly > 0, trade / np.maximum(weekly, 1), 1 / 7)
    path = shelf.path.reshape(products, weeks, 7)
    stood = np.stack(
        [((path == level) * share).sum(2) for level in range(shelf.levels.shape[1])], axis=2
    )
    main = stood.argmax(2).astype(np.int8)
    exposure = stood.max(2)
    week = lines.day // 7
    counted = shelf.on_shelf(lines) & (shelf.level == main[lines.product, week])
    cell = (lines.product * weeks + week)[counted]
    units_of_line = _without_bulk(lines, counted, bulk_multiple)
    units = np.bincount(cell, units_of_line, products * weeks).astype(float)
    receipts = np.bincount(cell, minlength=products * weeks).reshape(products, weeks)
    price = np.take_along_axis(shelf.levels, main.astype(np.int64), 1)
    open_weeks = (weekly[:, 0] > 0)[None, :] & (exposure >= MIN_EXPOSURE)
    names = [category_of.get(product) or "OTHER" for product in lines.product_ids]
    categories, category = np.unique(np.array(names, dtype=object), return_inverse=True)
    return Panel(
        product_ids=lines.product_ids,
        category=category.astype(np.int64),
        categories=[str(name) for name in categories],
        units=units.reshape(products, weeks),
        exposure=exposure,
        log_price=np.log(price),
        observed=on_sale(receipts, exposure, open_weeks),
        first_week=lines.first_day,
    )


def on_sale(
    receipts: NDArray[np.int64], exposure: Matrix, open_weeks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Weeks from a product's first to its last sale, without long improbable gaps."""
    weeks = receipts.shape[1]
    sold = receipts > 0
    order = np.arange(weeks)
    first = np.where(sold.any(1), sold.argmax(1), weeks)
    last = weeks - 1 - sold[:, ::-1].argmax(1)
    within = open_weeks & (order >= first[:, None]) & (order <= last[:, None])
    rate = receipts.sum(1) / np.maximum((within * exposure).sum(1), 1)
    gap = _run_lengths(within & ~sold)
    seen: NDArray[np.bool_] = within & (gap * rate[:, None] <= OFF_SALE)
    return seen


def _run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each true cell, the length of the run of true cells in its row that it lies in."""
    run = np.zeros(flags.shape, np.int64)
    for week in range(flags.shape[1]):
        before = run[:, week - 1] if week else 0
        run[:, week] = np.where(flags[:, week], before + 1, 0)
    for week in range(flags.shape[1] - 2, -1, -1):
        joined = flags[:, week] & flags[:, week + 1]
        run[:, week] = np.where(joined, run[:, week + 1], run[:, week])
    return run


def _without_bulk(lines: SaleLines, counted: NDArray[np.bool_], multiple: float) -> Matrix:
    """Units of the counted lines, each at most `multiple` times the product's median line."""
    product, units = lines.product[counted], lines.units[counted]
    order = np.lexsort((units, product))
    count = np.bincount(product, minlength=len(lines.product_ids))
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    median = units[order][np.minimum(start + count // 2, max(len(units) - 1, 0))]
    return np.minimum(units, multiple * median[product])
