"""Implicit-feedback ALS after it was learned: preferences of whoever bought something.

Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), with MLlib's
regularisation, which grows with a customer's number of products. numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Solved:
    """A customer's factor, and what of it each product contributed (their eq. 7)."""

    factor: Floats
    _inverse: Floats
    _bought: Floats
    _confidence: Floats

    def contributions(self, items: Floats) -> Floats:
        """(items, products bought): shares of `items @ factor`; each row sums up to it."""
        return np.asarray(items @ self._inverse @ self._bought.T * self._confidence)


@dataclass(slots=True)
class Factors:
    """Item factors, a row a product (zeros: unknown), and the numbers they were learned with."""

    items: Floats
    alpha: float
    regularisation: float
    _gram: Floats = field(init=False)

    def __post_init__(self) -> None:
        self._gram = self.items.T @ self.items

    def solve(self, products: NDArray[np.int64], receipts: Floats) -> Solved:
        """The factor that MLlib's next half-iteration would give this customer.

        `receipts` (above 0) says how often each product was bought.
        """
        bought = self.items[products]
        weight = self.alpha * receipts
        normal = self._gram + (bought * weight[:, None]).T @ bought
        normal[np.diag_indices_from(normal)] += max(1e-9, self.regularisation * len(products))
        inverse = np.linalg.inv(normal).astype(np.float64)
        confidence = 1.0 + weight
        return Solved(inverse @ (bought.T @ confidence), inverse, bought, confidence)
