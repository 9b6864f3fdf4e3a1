"""What a shop gets without learning: the plain orders every model has to beat. Training only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.cases import Case
from retaild_plugins.trainers.recommender.evidence import top
from retaild_plugins.trainers.recommender.sales import Sales
from retaild_plugins.trainers.recommender.statistics import Statistics

#: The best `count` products for a case without the hidden ones, best first.
Baseline = Callable[[Case, NDArray[np.int64], int], list[int]]
DAY = 86_400.0


def baselines(sales: Sales, stats: Statistics) -> dict[str, Baseline]:
    """Baselines from the sales before `stats.until`.

    P-TopFreq, G-TopFreq and GP-TopFreq as in Hu et al. 2020 (TIFU-KNN): own most frequent products,
    the shop's most frequent, and own ones filled up with the shop's. The `recent` variants take the
    shop's part from the last 28 and 14 days; equal own frequencies follow the shop's order.
    """
    ever = _receipts(sales, -np.inf, stats.until)
    month = _receipts(sales, stats.until - 28 * DAY, stats.until)
    fortnight = _receipts(sales, stats.until - 14 * DAY, stats.until)
    return {
        "popularity": _by_popularity(ever),
        "recent popularity": _by_popularity(month),
        "personal frequency": _by_frequency(ever, fill=False),
        "personal frequency + popularity": _by_frequency(ever, fill=True),
        "personal frequency + recent popularity": _by_frequency(fortnight, fill=True),
        "item-item": _item_item(stats),
    }


def _receipts(sales: Sales, start: float, end: float) -> NDArray[np.int64]:
    return np.bincount(sales.slice(start, end).product, minlength=len(sales.product_ids))


def _by_popularity(receipts: NDArray[np.int64]) -> Baseline:
    order = _sold(receipts)

    def slate(case: Case, hidden: NDArray[np.int64], count: int) -> list[int]:
        return _first(order, set(hidden.tolist()), count)

    return slate


def _by_frequency(receipts: NDArray[np.int64], *, fill: bool) -> Baseline:
    order = _sold(receipts)

    def slate(case: Case, hidden: NDArray[np.int64], count: int) -> list[int]:
        products = case.history.products
        own = products[np.lexsort((products, -receipts[products], -case.history.times))].tolist()
        barred = set(hidden.tolist())
        found = _first(own, barred, count)
        if fill and len(found) < count:
            found += _first(order, barred | set(own), count - len(found))
        return found

    return slate


def _item_item(stats: Statistics) -> Baseline:
    """Sum of the cosines (customers' purchases) to all that the customer bought or holds."""

    def slate(case: Case, hidden: NDArray[np.int64], count: int) -> list[int]:
        seen = np.concatenate([case.history.products, case.context.products])
        scores = stats.customers.gather(seen, np.ones(len(seen), np.float32), stats.size)
        scores[hidden] = 0.0
        best = top(scores, count)
        found: list[int] = best[np.argsort(-scores[best], kind="stable")].tolist()
        return found

    return slate


def _sold(receipts: NDArray[np.int64]) -> list[int]:
    """Products by receipts, most first, without those never sold."""
    order = np.argsort(-receipts, kind="stable")
    found: list[int] = order[receipts[order] > 0].tolist()
    return found


def _first(order: Iterable[int], barred: set[int], count: int) -> list[int]:
    found: list[int] = []
    for product in order:
        if len(found) == count:
            break
        if product not in barred:
            found.append(product)
    return found
