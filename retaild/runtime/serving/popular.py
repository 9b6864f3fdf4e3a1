"""What is offered before a model was learned: the products on most receipts of late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retaild.api.recommender import Catalogue, CustomerState, Recommendation

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Popular:
    """A `Recommender` from receipts counted in the last four weeks; the same for everyone.

    `receipts` gives the counts, one per product, whenever the order is worked out anew.
    """

    def __init__(self, receipts: Callable[[], NDArray[np.int64]]) -> None:
        self._receipts = receipts
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._order: list[int] = []

    def bind(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.refresh()

    def refresh(self) -> None:
        self._counts = self._receipts()
        self._order = np.argsort(-self._counts, kind="stable").tolist()

    def recommend(
        self, customer: CustomerState | None, basket: Sequence[int], now: float, count: int
    ) -> list[Recommendation]:
        return self._best(set(basket), count, -1)

    def similar(self, product: int, count: int) -> list[Recommendation]:
        """The popular ones of its category."""
        return self._best({product}, count, int(self._catalogue.category[product]))

    def _best(self, without: set[int], count: int, category: int) -> list[Recommendation]:
        found: list[Recommendation] = []
        catalogue = self._catalogue
        for product in self._order:
            if product in without or not catalogue.offerable[product]:
                continue
            if category >= 0 and catalogue.category[product] != category:
                continue
            found.append(self._offer(product))
            if len(found) == count:
                break
        return found

    def _offer(self, product: int) -> Recommendation:
        receipts = int(self._counts[product])
        reason = f"on {receipts} receipts in the last 4 weeks" if receipts else "from our range"
        return Recommendation(product, float(receipts), reason, "popularity")
