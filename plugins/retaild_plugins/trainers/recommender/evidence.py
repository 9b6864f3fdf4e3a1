"""Candidates for one customer at one moment, and their features.

The one implementation of both: training calls it for past moments, the server for now. So there
is nothing to drift apart; what it knows of the customer is a `History`, which the server makes
from a CustomerState and training from sales before the moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.statistics import (
    AGEING,
    GAP_DAYS,
    PRODUCT_COLUMNS,
    Statistics,
)

DAY = 86_400.0
#: Half-life in days of the long memory beside `Settings.half_life_days`.
LONG_HALF_LIFE = 200.0

PERSONAL = (
    "times", "share", "elapsed", "gap", "due", "taste", "taste_rank", "taste_long",
    "on_last_receipt",
)  # fmt: skip
#: The shop's rate of buying it again if the customer bought it before, else of buying it first.
RATES = ("rate_28d", "rate_7d")
SOURCES = (
    "together", "customers", "latent", "following", "neighbours", "local", "basket_together",
    "basket_latent",
)  # fmt: skip
CUSTOMER = (
    "receipts", "distinct_products", "products_per_receipt", "customer_repeat_share",
    "customer_days_since_last", "mean_gap_days", "basket_size",
)  # fmt: skip
#: Columns of the feature matrix.
FEATURES = PERSONAL + RATES + SOURCES + PRODUCT_COLUMNS + CUSTOMER

#: Sources found by relation, in the order of their rows in `Evidence.sources`.
TOGETHER, CUSTOMERS, LATENT, FOLLOWING, NEIGHBOURS, LOCAL, BASKET, BASKET_LATENT = range(8)
#: A customer's strongest purchases that relations start from.
ANCHORS = 60
#: Weight of each source among the never bought: basket evidence speaks of now.
RETRIEVAL = np.array([1.0, 1.0, 1.5, 0.5, 1.5, 0.5, 3.0, 3.0], np.float32)
#: The same for general popularity.
APPEAL = np.float32(0.5)


@dataclass(slots=True)
class History:
    """What a customer bought before, as arrays: one entry per product. Times in seconds UTC."""

    products: NDArray[np.int64]
    times: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    receipts: int = 0
    first_time: float = 0.0
    last_time: float = 0.0
    #: Row in Statistics.customer_ids, -1 for one that training did not know.
    row: int = -1


def no_history() -> History:
    nothing = np.zeros(0)
    return History(np.zeros(0, np.int64), nothing, nothing, nothing)


@dataclass(slots=True)
class Context:
    """What happens now: products in the basket or looked at, and how much each counts."""

    products: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    weights: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    #: How many of them lie in the basket; those come first.
    basket: int = 0


@dataclass(slots=True)
class Settings:
    """How wide to look; part of the artifact, for the ranker was trained with them."""

    half_life_days: float = 60.0
    similar_customers: int = 100
    candidates: int = 80
    repeats: int = 60


@dataclass(slots=True)
class Evidence:
    """`products` (m), `features` (m, FEATURES); the first `repeats` were bought before.

    `sources` (SOURCES, products of the shop) says how strongly each source proposes each product,
    times `scale` in comparable terms; relations started from `anchors`, the purchases that count
    most.
    """

    products: NDArray[np.int64]
    features: NDArray[np.float32]
    repeats: int
    sources: NDArray[np.float32]
    scale: NDArray[np.float32]
    anchors: NDArray[np.int64]
    weights: NDArray[np.float32]
    #: Products bought too lately to be bought again.
    resting: NDArray[np.int64]

    def compact(self) -> Evidence:
        """Without the sources, which take the most memory and only explain."""
        self.sources = self.sources[:, :0].copy()
        return self


def taste(history: History, now: float, half_life_days: float) -> NDArray[np.float64]:
    """Frequency with each purchase decayed by age, purchases taken as evenly spaced in time.

    With k purchases, d days apart, the last a days ago and r = 0.5 ** (1 / half-life):
    r**a x (1 + r**d + ... + r**((k-1)d)).
    """
    return _decayed(history.times, history.first, history.last, now, half_life_days)


def _decayed(
    times: NDArray[np.float64], first: NDArray[np.float64], last: NDArray[np.float64],
    now: float, half_life_days: float,
) -> NDArray[np.float64]:  # fmt: skip
    rate = np.log(0.5) / (half_life_days * DAY)
    step = np.minimum(rate * (last - first) / np.maximum(times - 1.0, 1.0), -1e-9)
    newest = np.exp(rate * np.maximum(now - last, 0.0))
    found: NDArray[np.float64] = newest * np.expm1(step * times) / np.expm1(step)
    return found


def gather(
    stats: Statistics, history: History, context: Context, now: float, settings: Settings,
    offerable: NDArray[np.bool_] | None = None,
) -> Evidence:  # fmt: skip
    """Candidates and features. Only products with `offerable` come out, none of the basket."""
    liking = taste(history, now, settings.half_life_days)
    # What one receipt brought is liked alike: the more popular goes first, however it is numbered.
    liking *= 1.0 + 1e-6 * stats.appeal[history.products]
    strongest = top(liking, ANCHORS)
    anchors = history.products[strongest]
    weights = liking[strongest].astype(np.float32)
    sources = _sources(stats, history, context, anchors, weights, settings)
    scale = RETRIEVAL / np.maximum(sources.max(axis=1), np.float32(1e-9))
    resting = history.products[now - history.last < stats.rest_days[history.products] * DAY]
    allowed = np.ones(stats.size, np.bool_) if offerable is None else offerable.copy()
    allowed[context.products[: context.basket]] = False
    allowed[resting] = False

    repeat = np.flatnonzero(allowed[history.products])
    if len(repeat) > settings.repeats:
        repeat = repeat[top(liking[repeat], settings.repeats)]
    allowed[history.products] = False
    # Of what was never bought, the most promising over all sources and general popularity.
    fresh = top((scale @ sources + APPEAL * stats.appeal) * allowed, settings.candidates)

    products = np.concatenate([history.products[repeat], fresh])
    matrix = np.empty((len(products), len(FEATURES)), np.float32)
    _personal(matrix, stats, history, liking, repeat, now)
    at = len(PERSONAL)
    rates = stats.rates[products]
    matrix[: len(repeat), at : at + 2] = rates[: len(repeat), ::2]
    matrix[len(repeat) :, at : at + 2] = rates[len(repeat) :, 1::2]
    at += len(RATES)
    matrix[:, at : at + len(SOURCES)] = sources[:, products].T
    at += len(SOURCES)
    matrix[:, at : at + len(PRODUCT_COLUMNS)] = stats.product[products]
    for column in AGEING:
        matrix[:, at + column] += (now - stats.until) / DAY
    at += len(PRODUCT_COLUMNS)
    matrix[:, at:] = _customer(history, context, now)
    return Evidence(products, matrix, len(repeat), sources, scale, anchors, weights, resting)


def top(values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Places of the `count` largest values above 0, in index order; of equals the first ones.

    Most scores are near 0, and a selection among thousands of them is what would cost: only those
    above a share of the largest are looked at, if they are enough.
    """
    if len(values) <= count:
        return np.flatnonzero(values > 0)
    largest = values.max()
    for share in (0.3, 0.1, 0.0):
        found = np.flatnonzero(values > share * largest)
        if len(found) >= count:
            break
    if len(found) <= count:
        return found
    values = values[found]
    edge = np.partition(values, len(values) - count)[len(values) - count]
    chosen = values >= edge
    surplus = int(chosen.sum()) - count
    if surplus:
        chosen[np.flatnonzero(values == edge)[-surplus:]] = False
    kept: NDArray[np.int64] = found[chosen]
    return kept


def _sources(
    stats: Statistics, history: History, context: Context,
    anchors: NDArray[np.int64], weights: NDArray[np.float32], settings: Settings,
) -> NDArray[np.float32]:  # fmt: skip
    """(sources, products): means over what each source started from.

    So they compare between customers with long and short histories, and a faint relation stays
    faint where there is no better one.
    """
    size = stats.size
    found = np.zeros((len(SOURCES), size), np.float32)
    if len(anchors):
        weights = weights / weights.sum()
        found[TOGETHER] = stats.together.gather(anchors, weights, size)
        found[CUSTOMERS] = stats.customers.gather(anchors, weights, size)
        found[LATENT] = stats.latent.gather(anchors, weights, size)
        latest = history.products[history.last >= history.last_time]
        if len(latest):
            equal = np.full(len(latest), 1.0 / len(latest), np.float32)
            found[FOLLOWING] = stats.following.gather(latest, equal, size)
        if settings.similar_customers:
            found[NEIGHBOURS] = _neighbours(stats, history, anchors, weights, settings)
    if history.row >= 0 and stats.country[history.row] >= 0:
        found[LOCAL] = stats.local[stats.country[history.row]]
    if len(context.products):
        weights = context.weights / max(1.0, float(context.weights.sum()))
        found[BASKET] = stats.together.gather(context.products, weights, size)
        found[BASKET_LATENT] = stats.latent.gather(context.products, weights, size)
    return found


def _neighbours(
    stats: Statistics, history: History, anchors: NDArray[np.int64],
    weights: NDArray[np.float32], settings: Settings,
) -> NDArray[np.float64]:  # fmt: skip
    """What the nearest customers buy (TIFU-KNN, Hu et al. 2020), nearness weighing their vote."""
    nearness = stats.buyers.gather(anchors, weights, len(stats.customer_ids))
    if history.row >= 0:
        nearness[history.row] = 0.0
    near = top(nearness, settings.similar_customers)
    votes = nearness[near] / max(1e-9, float(nearness[near].sum()))
    return stats.shelves.gather(near, votes.astype(np.float32), stats.size)


def _personal(
    matrix: NDArray[np.float32], stats: Statistics, history: History,
    liking: NDArray[np.float64], repeat: NDArray[np.int64], now: float,
) -> None:  # fmt: skip
    """Fill the PERSONAL columns: bought products' rows come first, the others know nothing."""
    count = len(repeat)
    matrix[count:, : len(PERSONAL)] = (0, 0, np.nan, np.nan, np.nan, 0, np.nan, 0, 0)
    if not count:
        return
    times = history.times[repeat]
    first, last, liked = history.first[repeat], history.last[repeat], liking[repeat]
    elapsed = (now - last) / DAY
    gaps = np.maximum(times - 1.0, 0.0)
    gap = (last - first) / DAY / np.maximum(gaps, 1.0)
    usual = stats.product[history.products[repeat], GAP_DAYS]
    usual = np.where(np.isnan(usual), 30.0, usual)
    cycle = (gaps * gap + usual) / (gaps + 1.0)
    rank = np.searchsorted(np.sort(-liked), -liked)
    columns = (
        times, times / max(1, history.receipts), elapsed, np.where(gaps > 0, gap, np.nan),
        elapsed / np.maximum(cycle, 0.5), liked, rank,
        _decayed(times, first, last, now, LONG_HALF_LIFE), last >= history.last_time,
    )  # fmt: skip
    for number, column in enumerate(columns):
        matrix[:count, number] = column


def _customer(history: History, context: Context, now: float) -> tuple[float, ...]:
    """The CUSTOMER columns; NaN where there is no history.

    As in the feature store's view `customer`, but at this very moment: the state behind it is
    newer than any snapshot.
    """
    distinct, bought = len(history.products), float(history.times.sum())
    if not history.receipts:
        return (0.0, float(distinct), np.nan, np.nan, np.nan, np.nan, float(context.basket))
    span = (history.last_time - history.first_time) / DAY
    return (
        float(history.receipts),
        float(distinct),
        bought / history.receipts,
        1.0 - distinct / max(1.0, bought),
        (now - history.last_time) / DAY,
        span / (history.receipts - 1) if history.receipts > 1 else np.nan,
        float(context.basket),
    )
