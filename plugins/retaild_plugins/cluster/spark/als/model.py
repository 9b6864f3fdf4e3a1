"""The model in the server: numpy alone, no Spark, no Java."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retaild.api.recommender import Catalogue, CustomerState, Recommendation
from retaild_plugins.cluster.spark.als import reasons
from retaild_plugins.cluster.spark.als.artifact import Artifact
from retaild_plugins.cluster.spark.als.blend import History
from retaild_plugins.cluster.spark.als.factors import Solved

#: Of what is looked at, the last so many, and no older than a day (seconds).
VIEW_COUNT, VIEW_SPAN = 10, 86_400.0
#: A look counts half as much as a product in the basket.
VIEW_WEIGHT = 0.5
#: What goes with the basket counts so much more than what goes with everything bought before.
NOW_WEIGHT = 3.0

Floats = NDArray[np.float64]


class AlsModel:
    """See retaild.api.recommender.Recommender.

    Everybody's factor is solved from what they bought until now, not looked up: a customer of this
    morning is answered like one of last year, and the newest receipt counts at once.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._learned = artifact.learned("serving")
        self._learned.users = np.zeros((0, 0), np.float32)  # of use in batch scoring only
        pairs = zip(self._learned.product_ids, self._learned.names, strict=True)
        self._names = {product: " ".join(name.split()) for product, name in pairs}

    def bind(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._ids = list(catalogue.product_ids)
        items, self._appeal = self._learned.renumbered(self._ids)
        self._factors = self._artifact.factors(items)
        lengths = np.linalg.norm(items, axis=1, keepdims=True)
        self._directions = items / np.maximum(lengths, 1e-12)

    @property
    def _size(self) -> int:
        return len(self._ids)

    def recommend(
        self, customer: CustomerState | None, basket: Sequence[int], now: float, count: int
    ) -> list[Recommendation]:
        history = self._history(customer)
        held, looked = self._held(customer, basket), self._looked(customer, now)
        scores = self._artifact.blend.popularity * self._appeal
        taste = self._solved(history.products, history.times)
        if taste is not None:
            scores += self._factors.items @ taste.factor
            scores[history.products] += self._artifact.blend.habits(history, now)
        weights = np.array([1.0] * len(held) + [VIEW_WEIGHT] * len(looked))
        moment = self._solved(np.array(held + looked, np.int64), weights)
        if moment is not None:
            scores += NOW_WEIGHT * (self._factors.items @ moment.factor)
        slate = self._best(scores, held, count)
        why = _Why(self, history, held, looked, taste, moment)
        return [
            Recommendation(product, float(scores[product]), *why.reason(product))
            for product in slate
        ]

    def similar(self, product: int, count: int) -> list[Recommendation]:
        if not 0 <= product < self._size or not self._directions[product].any():
            return []
        scores = self._directions @ self._directions[product]
        reason = reasons.alike(self.name(product))
        return [
            Recommendation(other, float(scores[other]), reason, "als")
            for other in self._best(scores, [product], count)
            if scores[other] > 0
        ]

    def name(self, product: int) -> str:
        return self._names.get(self._ids[product], self._ids[product])

    def items(self, products: Sequence[int]) -> Floats:
        return self._factors.items[list(products)]

    def _best(self, scores: Floats, barred: Sequence[int], count: int) -> list[int]:
        """Offerable as it is now: stock moves between two calls."""
        allowed = self._catalogue.offerable[: self._size].copy()
        allowed[list(barred)] = False
        open_ = np.flatnonzero(allowed)
        if len(open_) > count:
            open_ = open_[np.argpartition(-scores[open_], count - 1)[:count]]
        # argpartition leaves the order open; of equal scores the lower number is first.
        order = np.lexsort((open_, -scores[open_]))
        found: list[int] = open_[order].tolist()
        return found

    def _solved(self, products: NDArray[np.int64], receipts: Floats) -> Solved | None:
        """None: nothing of it was learned about."""
        known = self._factors.items[products].any(axis=1)
        if not known.any():
            return None
        return self._factors.solve(products[known], receipts[known])

    def _history(self, customer: CustomerState | None) -> History:
        found = [
            (product, float(purchase.times_bought), purchase.last_time)
            for product, purchase in ({} if customer is None else customer.purchases).items()
            if product < self._size and purchase.times_bought > 0
        ]
        products, times, last = zip(*found, strict=True) if found else ((), (), ())
        return History(
            np.array(products, np.int64), np.array(times, np.float64), np.array(last, np.float64)
        )

    def _held(self, customer: CustomerState | None, basket: Sequence[int]) -> list[int]:
        held = dict.fromkeys(product for product in basket if 0 <= product < self._size)
        if customer is not None:
            held |= dict.fromkeys(p for p, q in customer.basket.items() if q > 0 and p < self._size)
        return list(held)

    def _looked(self, customer: CustomerState | None, now: float) -> list[int]:
        if customer is None:
            return []
        late = [p for p, time in customer.views if now - time <= VIEW_SPAN and p < self._size]
        return list(dict.fromkeys(reversed(late)))[:VIEW_COUNT]


class _Why:
    """Names what contributed most to a product's score."""

    def __init__(
        self, model: AlsModel, history: History, held: list[int], looked: list[int],
        taste: Solved | None, moment: Solved | None,
    ) -> None:  # fmt: skip
        self._model = model
        self._times = dict(zip(history.products.tolist(), history.times.tolist(), strict=True))
        self._bought = [p for p in history.products.tolist() if model.items([p]).any()]
        self._held, self._taste, self._moment = set(held), taste, moment
        self._now = [p for p in held + looked if model.items([p]).any()]

    def reason(self, product: int) -> tuple[str, str]:
        """The sentence, and the source."""
        if product in self._times:
            return reasons.repeat(round(self._times[product])), "repeat"
        item = self._model.items([product])
        if self._moment is not None:
            shares = self._moment.contributions(item)[0]
            if shares.max() > 0:
                cause = self._now[int(np.argmax(shares))]
                name = self._model.name(cause)
                if cause in self._held:
                    return reasons.with_basket(name), "als"
                return reasons.after_view(name), "als"
        if self._taste is not None:
            shares = self._taste.contributions(item)[0]
            if shares.max() > 0:
                return reasons.because_of(
                    self._model.name(self._bought[int(np.argmax(shares))])
                ), "als"
        return reasons.popular(), "popular"
