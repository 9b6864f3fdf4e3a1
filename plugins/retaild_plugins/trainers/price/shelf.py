"""The shelf price: what the label said on each day, told apart from what some customers paid.

Tills record prices paid. At one time several are paid for one product: quantity breaks, customers
with terms of their own, another price list on the web. Their mix is chosen by the customer together
with the quantity, so a regression of quantity on the price paid measures the discount schedule, not
the demand curve. What the shop sets, and what it asks the model about, is the shelf price.

It is found as the path of prices that most receipts agree with: a change costs `penalty` receipts
(a Potts model, solved exactly by the Viterbi recursion). Prices that go on selling beside the shelf
price belong to another price list and are taken out of the running. So are receipts that go by
another list as a whole, such as web orders with tax included: a slow product that for some weeks
sold on that list alone would else seem repriced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.price.lines import SaleLines

#: Price levels of a product that are looked at: its most frequent ones.
LEVELS = 8
#: A price of which more than this share of receipts fell on days with another shelf price is not a
#: shelf price, but one of a list that runs beside it.
BESIDE = 0.3
#: A receipt whose lines lie this far off the shelf price (median of log ratios) has its own list.
OTHER_LIST = 0.15
_CHUNK = 1024
_NEVER = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Shelf prices: `levels[product, k]` are prices (NaN: none), `path[product, day]` says which.

    `level` has the level of each line, -1 for prices outside the first `LEVELS`.
    """

    levels: NDArray[np.float64]
    path: NDArray[np.int8]
    level: NDArray[np.int64]

    def on_shelf(self, lines: SaleLines) -> NDArray[np.bool_]:
        """Which lines were sold at the shelf price of their day."""
        on: NDArray[np.bool_] = self.level == self.path[lines.product, lines.day]
        return on


def shelf_prices(lines: SaleLines, penalty: float) -> tuple[SaleLines, Shelf]:
    """The shelf price of every product and day, and the lines of receipts that go by it."""
    shelf = _shelf(lines, penalty)
    other = _other_list(lines, shelf)
    if not other.any():
        return lines, shelf
    kept = lines.only(~other)
    return kept, _shelf(kept, penalty)


def _shelf(lines: SaleLines, penalty: float) -> Shelf:
    levels, level = _price_levels(lines)
    products = len(levels)
    path = np.zeros((products, lines.days), np.int8)
    order = np.argsort(lines.product, kind="stable")
    bounds = np.searchsorted(lines.product[order], np.arange(0, products + _CHUNK, _CHUNK))
    for chunk, first in enumerate(range(0, products, _CHUNK)):
        rows = order[bounds[chunk] : bounds[chunk + 1]]
        rows = rows[level[rows] >= 0]
        size = min(_CHUNK, products - first)
        counts = np.zeros((lines.days, size, levels.shape[1]), np.float32)
        np.add.at(counts, (lines.day[rows], lines.product[rows] - first, level[rows]), 1)
        path[first : first + size] = _pruned_path(
            counts, ~np.isnan(levels[first : first + size]), penalty
        )
    return Shelf(levels, path, level)


def _price_levels(lines: SaleLines) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The most frequent prices of each product, most frequent first, and each line's level."""
    products = len(lines.product_ids)
    keys, line_key, count = np.unique(
        lines.product * 10**11 + np.round(lines.price * 10**4).astype(np.int64),
        return_inverse=True,
        return_counts=True,
    )
    owner = keys // 10**11
    order = np.lexsort((-count, owner))
    rank = np.empty(len(keys), np.int64)
    rank[order] = np.arange(len(keys)) - np.searchsorted(owner[order], owner[order])
    width = int(min(LEVELS, rank.max() + 1))
    levels = np.full((products, width), np.nan)
    inside = rank < width
    levels[owner[inside], rank[inside]] = (keys[inside] % 10**11) / 10**4
    return levels, np.where(inside, rank, -1)[line_key]


def _pruned_path(
    counts: NDArray[np.float32], allowed: NDArray[np.bool_], penalty: float
) -> NDArray[np.int8]:
    """The best path, found anew until no price runs beside it; counts are (day, product, level)."""
    total = counts.sum(0)
    each = np.arange(len(total))
    for _ in range(allowed.shape[1]):
        path = _viterbi(counts, allowed, penalty)
        on_path = np.zeros_like(total)
        for level in range(total.shape[1]):
            on_path[:, level] = (counts[:, :, level] * (path == level)).sum(0)
        beside = 1 - on_path / np.maximum(total, 1) > BESIDE
        beside[each, np.where(allowed, total, -1).argmax(1)] = False
        if not (allowed & beside).any():
            break
        allowed = allowed & ~beside
    return path.T


def _viterbi(
    counts: NDArray[np.float32], allowed: NDArray[np.bool_], penalty: float
) -> NDArray[np.int8]:
    """argmax over paths of receipts agreeing, less `penalty` per change; (day, product)."""
    days, products, _ = counts.shape
    each = np.arange(products)
    score = np.where(allowed, counts[0], _NEVER)
    best = np.zeros((days, products), np.int8)
    switched = np.zeros(counts.shape, np.bool_)
    for day in range(1, days):
        best[day] = score.argmax(1)
        change = score[each, best[day]] - np.float32(penalty)
        switched[day] = score < change[:, None]
        score = np.where(allowed, np.maximum(score, change[:, None]) + counts[day], _NEVER)
    path = np.zeros((days, products), np.int8)
    path[-1] = score.argmax(1)
    for day in range(days - 1, 0, -1):
        now = path[day]
        path[day - 1] = np.where(switched[day, each, now], best[day], now)
    return path


def _other_list(lines: SaleLines, shelf: Shelf) -> NDArray[np.bool_]:
    """Lines of receipts (of three lines or more) that go by another price list.

    First those whose lines lie off the shelf prices; then those of which most lines carry prices
    that are found mostly on the former, until no more are found.
    """
    price = shelf.levels[lines.product, shelf.path[lines.product, lines.day]]
    receipts = int(lines.receipt.max()) + 1
    size = np.bincount(lines.receipt, minlength=receipts)
    off = np.abs(_medians(np.log(lines.price / price), lines.receipt, size)) > OTHER_LIST
    other = (size >= 3) & off
    keys, tag = np.unique(
        lines.product * 10**11 + np.round(lines.price * 10**4).astype(np.int64),
        return_inverse=True,
    )
    times = np.bincount(tag, minlength=len(keys))
    for _ in range(5):
        foreign = np.bincount(tag, other[lines.receipt], len(keys)) > 0.5 * times
        share = np.bincount(lines.receipt, foreign[tag], receipts) / np.maximum(size, 1)
        more = (size >= 3) & (share > 0.5) & ~other
        if not more.any():
            break
        other |= more
    result: NDArray[np.bool_] = other[lines.receipt] | foreign[tag]
    return result


def _medians(
    values: NDArray[np.float64], group: NDArray[np.int64], size: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The upper median of each group; groups are counted by `size`."""
    order = np.lexsort((values, group))
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    medians: NDArray[np.float64] = values[order][np.minimum(start + size // 2, len(order) - 1)]
    return medians
