"""Season: how demand moves over weeks for reasons that have nothing to do with one product's price.

Each week has an effect common to all products. Categories deviate from it smoothly: a price that is
raised in autumn on all hot-water bottles must not make them look as if dearness sold them. The
deviation is the log of units observed over expected within a few weeks, shrunk to zero by pseudo
counts (a gamma prior on the ratio), so that a small category has next to none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

#: Half-width in weeks of the triangular window in which a category's deviation is measured.
WINDOW = 4
#: Expected units (over dispersion) in the window that weigh as much as the prior.
PSEUDO_COUNT = 10.0


@dataclass(frozen=True, slots=True)
class Season:
    """Log effects: `week` (week) common to all, `category` (category, week) on top of it."""

    week: Vector
    category: Matrix

    @classmethod
    def none(cls, categories: int, weeks: int) -> Season:
        return cls(np.zeros(weeks), np.zeros((categories, weeks)))

    def of(self, category: NDArray[np.int64]) -> Matrix:
        """(product, week) log effect of products with these category codes."""
        return self.week + self.category[category]

    def until(self, week: int) -> Season:
        return Season(self.week[:week], self.category[:, :week])

    def updated(self, observed: Matrix, expected: Matrix, category: NDArray[np.int64]) -> Season:
        """One step towards the effects that explain `observed`, given `expected` under the present
        ones; both (product, week), weighted as their precision asks for."""
        categories, weeks = self.category.shape
        by_category = np.zeros((2, categories, weeks))
        np.add.at(by_category[0], category, observed)
        np.add.at(by_category[1], category, expected)
        step = _log_ratio(by_category[0].sum(0), by_category[1].sum(0))
        week = self.week + step
        week -= week[by_category[1].sum(0) > 0].mean()
        # Expected with the common effects, but without the deviations that are now measured anew.
        plain = by_category[1] * np.exp(step - self.category)
        smooth = _triangle(weeks)
        ratio = (by_category[0] @ smooth + PSEUDO_COUNT) / (plain @ smooth + PSEUDO_COUNT)
        return Season(week, np.log(ratio))


def _log_ratio(observed: Vector, expected: Vector) -> Vector:
    known = expected > 0
    ratio = np.where(known, np.maximum(observed, 1e-3) / np.where(known, expected, 1.0), 1.0)
    return np.clip(np.log(ratio), -3, 3)


def _triangle(weeks: int) -> Matrix:
    gap = np.abs(np.subtract.outer(np.arange(weeks), np.arange(weeks)))
    weights: Matrix = np.maximum(1 - gap / (WINDOW + 1), 0.0)
    return weights
