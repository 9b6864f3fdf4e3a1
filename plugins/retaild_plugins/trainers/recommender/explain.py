"""Finds the evidence that speaks loudest for a product, and says it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender import reasons
from retaild_plugins.trainers.recommender.evidence import (
    APPEAL,
    BASKET,
    BASKET_LATENT,
    CUSTOMERS,
    FEATURES,
    FOLLOWING,
    LATENT,
    LOCAL,
    NEIGHBOURS,
    TOGETHER,
    Context,
    Evidence,
    History,
)
from retaild_plugins.trainers.recommender.statistics import Related, Statistics

_REPEAT_COLUMNS = [FEATURES.index(name) for name in ("times", "elapsed", "gap")]


class Explainer:
    """Reasons for one slate."""

    def __init__(
        self, stats: Statistics, names: list[str], evidence: Evidence, context: Context,
        history: History,
    ) -> None:  # fmt: skip
        self._stats, self._names, self._evidence = stats, names, evidence
        self._context, self._history = context, history
        self._repeats = evidence.features[: evidence.repeats, _REPEAT_COLUMNS].tolist()

    def reason(self, product: int, row: int) -> tuple[str, str]:
        """The sentence and the source's name. `row` is the candidate's, -1 for a filler."""
        if 0 <= row < self._evidence.repeats:
            times, elapsed, gap = self._repeats[row]
            return reasons.repeat(int(times), gap, elapsed), "repeat"
        pull = self._evidence.scale * self._evidence.sources[:, product]
        loudest = int(pull.argmax())
        if row < 0 or pull[loudest] <= APPEAL * self._stats.appeal[product]:
            return reasons.popular(), "popular"
        return self._say(loudest, product)

    def _say(self, source: int, product: int) -> tuple[str, str]:
        stats, evidence, context = self._stats, self._evidence, self._context
        if source in (BASKET, BASKET_LATENT):
            related = stats.together if source == BASKET else stats.latent
            place = strongest(related, context.products, context.weights, product)
            name = self._names[int(context.products[place])]
            if place < context.basket:
                return reasons.with_basket(name), "basket"
            return reasons.after_view(name), "viewed"
        if source == NEIGHBOURS:
            return reasons.same_taste(), "similar customers"
        if source == LOCAL:
            country = stats.countries[int(stats.country[self._history.row])]
            return reasons.local(country), "local"
        if source == FOLLOWING:
            latest = self._history.products[self._history.last >= self._history.last_time]
            place = strongest(stats.following, latest, np.ones(len(latest), np.float32), product)
            return reasons.after_purchase(self._names[int(latest[place])]), "next"
        by_source = {TOGETHER: stats.together, CUSTOMERS: stats.customers, LATENT: stats.latent}
        related = by_source[source]
        place = strongest(related, evidence.anchors, evidence.weights, product)
        return reasons.with_product(self._names[int(evidence.anchors[place])]), "together"


def strongest(
    related: Related, rows: NDArray[np.int64], weights: NDArray[np.float32], product: int
) -> int:
    """The place in `rows` that gives `product` most."""
    given = np.where(related.index[rows] == product, related.weight[rows], 0).max(axis=1) * weights
    return int(given.argmax())
