"""Partial pooling: products around their category, categories around the whole range.

    estimate_i ~ Normal(elasticity_i, variance_i + drift^2 / leverage_i)   the product's own sales
    elasticity_i ~ Normal(mean_c, within^2)                                products of category c
    mean_c ~ Normal(overall, between^2)                                    categories
    overall ~ Normal(-2.62, 1)                                             published elasticities

`leverage` is the sum of squares of a product's different log prices about their mean. Demand may
stand differently while another price stands, for reasons of its own (a season, a display, the
reason for repricing itself): `drift` is the standard deviation of log demand from one price to the
next. It makes small price changes say little, however many units were sold at both.

The three spreads have priors (below) and are integrated out on a grid, each cell weighted by its
marginal likelihood: a maximum would often lie at a spread of zero and pretend that all products
react alike, to the last digit. Empirical Bayes as in Morris (1983), with the boundary-avoiding
gamma(2) prior of Chung, Rabe-Hesketh, Dorie, Gelman & Liu (Psychometrika 78, 2013). The published
average is that of 1,851 elasticities: Bijmolt, van Heerde & Pieters, J. Marketing Research 42
(2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PUBLISHED_MEAN = -2.62
PUBLISHED_SPREAD = 1.0
#: Scales of the gamma(2) priors of `within` and `between`, and of the gamma(4) prior of `drift`:
#: that demand stays put for its own part when a price changes is not believed on thin evidence.
SPREAD_SCALE = 0.5
DRIFT_SCALE = 0.1
_SPREADS = np.geomspace(0.08, 3.2, 20)
_DRIFTS = np.geomspace(0.05, 1.2, 9)
#: Cells with less weight than this share of the best one are left out.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True, slots=True)
class Cell:
    """One choice of the spreads, with its posterior weight and what follows for the categories."""

    weight: float
    within: float
    between: float
    drift: float
    mean: Vector
    mean_variance: Vector
    overall: float


@dataclass(frozen=True, slots=True)
class Pool:
    """The prior of a product's elasticity, by category code; spreads are posterior means."""

    mean: Vector
    #: Variance of `mean`: how well the category's average is known.
    mean_variance: Vector
    overall: float
    within: float
    between: float
    drift: float
    cells: tuple[Cell, ...]

    @classmethod
    def start(cls, categories: int) -> Pool:
        mean = np.full(categories, PUBLISHED_MEAN)
        variance = np.full(categories, PUBLISHED_SPREAD**2)
        cell = Cell(1.0, 1.0, 0.5, 0.3, mean, variance, PUBLISHED_MEAN)
        return cls.of([cell])

    @classmethod
    def of(cls, cells: list[Cell]) -> Pool:
        weights = [cell.weight for cell in cells]
        mean = np.average([cell.mean for cell in cells], 0, weights)
        second = np.average([c.mean_variance + c.mean**2 for c in cells], 0, weights)
        return cls(
            mean=mean,
            mean_variance=second - mean**2,
            overall=float(np.average([cell.overall for cell in cells], 0, weights)),
            within=float(np.average([cell.within for cell in cells], 0, weights)),
            between=float(np.average([cell.between for cell in cells], 0, weights)),
            drift=float(np.average([cell.drift for cell in cells], 0, weights)),
            cells=tuple(cells),
        )

    def shrink(self, estimates: Estimates) -> tuple[Vector, Vector]:
        """Posterior means and variances of the elasticities behind unpooled estimates (those with
        infinite variance say nothing)."""
        first, second = np.zeros(len(estimates.value)), np.zeros(len(estimates.value))
        for cell in self.cells:
            variance = estimates.variance_with(cell.drift)
            keep = cell.within**2 / (cell.within**2 + variance)
            prior = cell.mean[estimates.category]
            mean = prior + keep * (np.where(keep > 0, estimates.value, 0.0) - prior)
            # Morris (1983): the prior's mean is itself estimated.
            unsure = (1 - keep) ** 2 * cell.mean_variance[estimates.category]
            first += cell.weight * mean
            second += cell.weight * ((1 - keep) * cell.within**2 + unsure + mean**2)
        return first, second - first**2


@dataclass(frozen=True, slots=True)
class Estimates:
    """Unpooled elasticities with their variances and leverages, one entry per product."""

    value: Vector
    variance: Vector
    leverage: Vector
    category: NDArray[np.int64]

    def variance_with(self, drift: float) -> Vector:
        total: Vector = self.variance + drift**2 / self.leverage
        return total


def fit_pool(estimates: Estimates, categories: int) -> Pool:
    """Learn the priors from unpooled estimates."""
    scored = list(_scored_cells(estimates, categories))
    best = max(score for score, *_ in scored)
    kept = [item for item in scored if item[0] - best > np.log(_NEGLIGIBLE)]
    weights = np.exp([score - best for score, *_ in kept])
    weights /= weights.sum()
    return Pool.of(
        [
            _cell(estimates, categories, float(weight), within, between, drift)
            for weight, (_, within, between, drift) in zip(weights, kept, strict=True)
        ]
    )


def _scored_cells(
    estimates: Estimates, categories: int
) -> Iterator[tuple[float, float, float, float]]:
    """(log posterior density on the grid, within, between, drift)."""
    for drift in map(float, _DRIFTS):
        variance = estimates.variance_with(drift)
        for within in map(float, _SPREADS):
            total, mean, fit = _within(estimates, variance, categories, within)
            known = total > 0
            spread = _SPREADS[:, None] ** 2 + 1 / total[known]
            for between, across in zip(_SPREADS, _across(mean[known], spread), strict=True):
                score = fit + across + _log_prior(within, between, drift)
                yield float(score), within, float(between), drift


def _log_prior(within: float, between: float, drift: float) -> float:
    """Of a cell of the grid: densities times the cell's size (geometric steps: its value)."""
    gamma = sum(2 * np.log(spread) - spread / SPREAD_SCALE for spread in (within, between))
    return float(gamma + 4 * np.log(drift) - drift / DRIFT_SCALE)


def _cell(
    estimates: Estimates,
    categories: int,
    weight: float,
    within: float,
    between: float,
    drift: float,
) -> Cell:
    total, mean, _ = _within(estimates, estimates.variance_with(drift), categories, within)
    known = total > 0
    overall = float(_overall(mean[known], between**2 + 1 / total[known]))
    precision = total + 1 / between**2
    return Cell(
        weight=weight,
        within=within,
        between=between,
        drift=drift,
        mean=(total * mean + overall / between**2) / precision,
        mean_variance=1 / precision,
        overall=overall,
    )


def _within(
    estimates: Estimates, variance: Vector, categories: int, within: float
) -> tuple[Vector, Vector, float]:
    """Per category: precision and mean of its estimates; and the log likelihood within."""
    value, category = estimates.value, estimates.category
    weight = 1 / (variance + within**2)
    total = np.bincount(category, weight, categories).astype(float)
    mean = np.bincount(category, weight * value, categories) / np.maximum(total, 1e-300)
    rest = (weight * (value - mean[category]) ** 2).sum()
    fit = 0.5 * (np.log(weight).sum() - rest - np.log(total[total > 0]).sum())
    return total, mean, float(fit)


def _overall(mean: Vector, spread: NDArray[np.float64]) -> Any:
    """The overall mean, given the categories' means and their variances (in the last axis)."""
    precision = (1 / spread).sum(-1) + 1 / PUBLISHED_SPREAD**2
    return ((mean / spread).sum(-1) + PUBLISHED_MEAN / PUBLISHED_SPREAD**2) / precision


def _across(mean: Vector, spread: NDArray[np.float64]) -> Vector:
    """Log likelihood of the categories' means, with the overall mean integrated out; one entry per
    row of `spread`, the variances of the means."""
    overall = _overall(mean, spread)
    rest = ((mean - overall[:, None]) ** 2 / spread).sum(1)
    rest += (overall - PUBLISHED_MEAN) ** 2 / PUBLISHED_SPREAD**2
    precision = (1 / spread).sum(1) + 1 / PUBLISHED_SPREAD**2
    likelihood: Vector = -0.5 * (np.log(spread).sum(1) + rest + np.log(precision))
    return likelihood
