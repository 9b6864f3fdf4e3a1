"""The model in the server: slates for customers, baskets and products. numpy and ctypes only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retaild.api.recommender import Catalogue, CustomerState, Recommendation
from retaild_plugins.trainers.recommender import explain, reasons
from retaild_plugins.trainers.recommender.artifact import Artifact
from retaild_plugins.trainers.recommender.evidence import Context, Evidence, gather, top
from retaild_plugins.trainers.recommender.likeness import Likeness
from retaild_plugins.trainers.recommender.live import context_of, history_of
from retaild_plugins.trainers.recommender.statistics import Statistics


class RecommenderModel:
    """See retaild.api.recommender.Recommender. Works in the catalogue's product numbers."""

    def __init__(
        self, artifact: Artifact, category_cap: int, uncapped_categories: Sequence[str]
    ) -> None:
        self._settings = artifact.settings
        self._ranker = artifact.ranker()
        self._learned = artifact.statistics("serving")
        self._names = {
            product: reasons.tidy(name)
            for product, name in zip(self._learned.product_ids, self._learned.names, strict=True)
        }
        self._rows = {customer: row for row, customer in enumerate(self._learned.customer_ids)}
        self._cap = category_cap
        self._uncapped = frozenset(uncapped_categories)

    def bind(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._free = {
            code for code, name in enumerate(catalogue.categories) if name in self._uncapped
        } | {-1}
        stats = self._learned.renumbered(list(catalogue.product_ids))
        new = np.isnan(stats.product[:, 0])
        stats.appeal[new] = self._expected_appeal(stats.appeal, new)
        self._stats: Statistics = stats
        self._shown = [self._names.get(p, p) for p in stats.product_ids]
        self._bestsellers = np.argsort(-stats.appeal, kind="stable")
        self._likeness = Likeness(stats, self._shown)

    def _expected_appeal(
        self, appeal: NDArray[np.float32], new: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Of products that training did not know: half the mean of their category's others."""
        codes = self._catalogue.category
        known = ~new & (codes >= 0)
        count = max(1, len(self._catalogue.categories))
        total = np.bincount(codes[known], appeal[known], count)
        mean = total / np.maximum(1, np.bincount(codes[known], minlength=count))
        return np.where(codes[new] >= 0, 0.5 * mean[codes[new]], 0.0).astype(np.float32)

    def recommend(
        self, customer: CustomerState | None, basket: Sequence[int], now: float, count: int
    ) -> list[Recommendation]:
        stats = self._stats
        history = history_of(customer, self._rows, stats.size)
        context = context_of(customer, basket, now, stats.size)
        offerable = self._offerable()
        evidence = gather(stats, history, context, now, self._settings, offerable)
        scores = self._ranker.score(evidence.features)
        order = np.argsort(-scores, kind="stable")
        chosen = self._capped(evidence.products[order].tolist(), count)
        slate = [
            (int(evidence.products[row]), float(scores[row]), int(row))
            for row in order[chosen].tolist()
        ]
        if len(slate) < count:
            slate += self._fill(evidence, context, offerable, [p for p, _, _ in slate], count)
        why = explain.Explainer(stats, self._shown, evidence, context, history)
        return [
            Recommendation(product, score, *why.reason(product, row))
            for product, score, row in slate
        ]

    def similar(self, product: int, count: int) -> list[Recommendation]:
        if not 0 <= product < self._stats.size:
            return []
        scores = self._likeness.scores(product) + self._same_category(product)
        scores *= self._offerable()
        scores[product] = 0.0
        best = top(scores, count)
        best = best[np.argsort(-scores[best], kind="stable")]
        return [
            Recommendation(other, float(scores[other]), *self._likeness.reason(product, other))
            for other in best.tolist()
        ]

    def _offerable(self) -> NDArray[np.bool_]:
        """As it is now: stock moves between two calls."""
        return self._catalogue.offerable[: self._stats.size]

    def _same_category(self, product: int) -> NDArray[np.float64]:
        """A little for products of the same category, by popularity."""
        codes = self._catalogue.category[: self._stats.size]
        if int(codes[product]) in self._free:
            return np.zeros(self._stats.size)
        return np.asarray((codes == codes[product]) * (0.05 + 0.2 * self._stats.appeal), np.float64)

    def _capped(self, products: list[int], count: int) -> list[int]:
        """Places of the first `count` products that keep the cap per category."""
        if not self._cap:
            return list(range(min(count, len(products))))
        used: dict[int, int] = {}
        chosen = []
        category = self._catalogue.category
        for place, product in enumerate(products):
            code = int(category[product])
            if code not in self._free:
                if used.get(code, 0) >= self._cap:
                    continue
                used[code] = used.get(code, 0) + 1
            chosen.append(place)
            if len(chosen) == count:
                break
        return chosen

    def _fill(
        self, evidence: Evidence, context: Context, offerable: NDArray[np.bool_],
        taken: list[int], count: int,
    ) -> list[tuple[int, float, int]]:  # fmt: skip
        """Bestsellers behind a slate that ran out of candidates; cap and exclusions hold."""
        allowed = offerable.copy()
        allowed[evidence.products] = False
        allowed[context.products[: context.basket]] = False
        allowed[evidence.resting] = False
        more = self._bestsellers[allowed[self._bestsellers]]
        line = taken + more.tolist()
        chosen = self._capped(line, count)
        return [(line[place], float("-inf"), -1) for place in chosen if place >= len(taken)]
