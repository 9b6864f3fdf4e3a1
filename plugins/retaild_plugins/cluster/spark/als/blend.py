"""How a product is scored for a customer: ALS, and the habit of buying it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY = 86_400.0


@dataclass(slots=True)
class History:
    """Products a customer bought: on how many receipts, and when last (seconds UTC)."""

    products: NDArray[np.int64]
    times: NDArray[np.float64]
    last: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blend:
    """score = ALS + popularity x appeal + habit x ln(1 + receipts) x 2^(-age / half-life).

    ALS alone answers *whether* somebody buys a product, not how often, nor what is bought now.
    """

    popularity: float
    habit: float
    half_life_days: float

    def habits(self, history: History, now: float) -> NDArray[np.float64]:
        """What is added to the score of each of the history's products; never negative."""
        age = np.maximum(0.0, now - history.last) / DAY
        return np.asarray(self.habit * np.log1p(history.times) * 0.5 ** (age / self.half_life_days))


def choices() -> Iterator[Blend]:
    """What is tried on the weeks before those that judge, the least added to ALS first."""
    for habit in (0.3, 1.0, 3.0, 10.0):
        for popularity in (0.3, 1.0, 2.0):
            for half_life in (60.0, 180.0):
                yield Blend(popularity, habit, half_life)
