"""What a shop gets without learning: the plain orders every model has to beat. Training only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.cases import Case
from retaild_plugins.trainers.recommender.sales import Sales
from retaild_plugins.trainers.recommender.statistics import Statistics

#: Scores of all products for a case; not above 0: never shown.
Scorer = Callable[[Case], NDArray[np.float64]]
DAY = 86_400.0


def baselines(sales: Sales, stats: Statistics) -> dict[str, Scorer]:
    """Scorers from the sales before `stats.until`.

    P-TopFreq, G-TopFreq and GP-TopFreq as in Hu et al. 2020 (TIFU-KNN): own most frequent products,
    the shop's most frequent, and own ones filled up with the shop's. The `recent` variants count
    the last 28 and 14 days for the shop's part.
    """
    ever = _share(sales, -np.inf, stats.until)
    month = _share(sales, stats.until - 28 * DAY, stats.until)
    fortnight = _share(sales, stats.until - 14 * DAY, stats.until)

    def own(case: Case) -> NDArray[np.float64]:
        scores = np.zeros(stats.size)
        scores[case.history.products] = case.history.times
        return scores

    def item_item(case: Case) -> NDArray[np.float64]:
        products, weights = _seen(case)
        return stats.customers.gather(products, weights, stats.size)

    return {
        "popularity": lambda case: ever,
        "recent popularity": lambda case: month,
        "personal frequency": own,
        "personal frequency + popularity": lambda case: own(case) + ever,
        "personal frequency + recent popularity": lambda case: own(case) + fortnight,
        "item-item": item_item,
    }


def _seen(case: Case) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    products = np.concatenate([case.history.products, case.context.products])
    return products, np.ones(len(products), np.float32)


def _share(sales: Sales, start: float, end: float) -> NDArray[np.float64]:
    """Receipts per product, scaled below 1 so that it only orders what counts equally."""
    count = np.bincount(sales.slice(start, end).product, minlength=len(sales.product_ids))
    return np.asarray(count / (count.max(initial=0) + 1.0))


def top(scores: NDArray[np.float64], hidden: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The best `count` products with a score above 0, without the hidden; ties in index order."""
    scores = scores.copy()
    scores[hidden] = 0.0
    best = np.argsort(-scores, kind="stable")[:count]
    return best[scores[best] > 0.0]
