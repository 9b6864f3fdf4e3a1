"""What is like a product: by receipts, by customers, by the latent model, and by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.statistics import Related, Statistics

#: Weight of the words that two names share against a relation at its strongest.
NAME_WEIGHT = 0.5


class Likeness:
    """Scores one product against all others."""

    def __init__(self, stats: Statistics, names: list[str]) -> None:
        self._names = names
        self._size = stats.size
        self._by_receipts = (stats.together,)
        self._by_customers = (stats.customers, stats.latent)
        self._words = [frozenset(name.lower().split()) for name in names]
        self._with_word: dict[str, list[int]] = {}
        for product, words in enumerate(self._words):
            for word in words:
                self._with_word.setdefault(word, []).append(product)

    def scores(self, product: int) -> NDArray[np.float64]:
        """Each relation at most 1, and the share of common words (Jaccard) x NAME_WEIGHT."""
        scores = np.zeros(self._size)
        for related in (*self._by_receipts, *self._by_customers):
            index, weight = related.index[product], related.weight[product]
            largest = float(weight.max(initial=0.0))
            if largest > 0:
                np.add.at(scores, index, weight / largest)
        mine = self._words[product]
        common: dict[int, int] = {}
        for word in mine:
            for other in self._with_word[word]:
                common[other] = common.get(other, 0) + 1
        if common:
            others = np.fromiter(common, np.int64, len(common))
            shared = np.fromiter(common.values(), np.float64, len(common))
            lengths = np.array([len(self._words[other]) for other in common])
            scores[others] += NAME_WEIGHT * shared / (len(mine) + lengths - shared)
        return scores

    def reason(self, product: int, other: int) -> tuple[str, str]:
        """Why `other` stands beside `product`: the sentence and the source."""
        name = self._names[product]
        if _related(self._by_receipts, product, other):
            return f"Often bought with {name}", "together"
        if _related(self._by_customers, product, other):
            return f"Customers of {name} buy it too", "similar customers"
        return f"Similar to {name}", "similar"


def _related(relations: tuple[Related, ...], product: int, other: int) -> bool:
    return any(bool((r.weight[product][r.index[product] == other] > 0).any()) for r in relations)
