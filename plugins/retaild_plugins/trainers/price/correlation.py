"""How a product's surprises hang together over weeks.

A product that sold above expectation last week is likely to do so this week: fashion, shelf place,
weather. Price changes are few and last long, so taking weeks for independent makes an elasticity
look several times as certain as it is (Bertrand, Duflo & Mullainathan 2004). Log demand is taken to
wander about its expectation as an AR(1) process of the given variance, on top of counting noise
(Zeger 1988). The more a product sells, the more of its surprises are such wandering.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_DECAYS = np.arange(0.30, 0.985, 0.01)
_LARGEST_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Correlation:
    """Log demand `gap` weeks apart has covariance variance * decay^gap."""

    variance: float = 0.05
    decay: float = 0.8

    def share(self, strength: Vector) -> Vector:
        """The part of Pearson residuals' variance that is wandering, by `strength`: expected units
        over dispersion. Residuals `gap` apart correlate by share * decay^gap."""
        share: Vector = np.minimum(self.variance * strength, _LARGEST_SHARE)
        return share

    def whitening(self, observed: NDArray[np.bool_], strength: Vector) -> Whitening:
        """For residuals of products observed in these weeks, of this strength."""
        share = self.share(strength)
        products, weeks = observed.shape
        scale, gain = np.ones((products, weeks)), np.zeros((products, weeks))
        variance = share
        for week in range(weeks):
            total = variance + 1 - share
            scale[:, week] = np.where(observed[:, week], np.sqrt(total), np.inf)
            gain[:, week] = np.where(observed[:, week], variance / total, 0.0)
            left = variance * (1 - gain[:, week])
            variance = self.decay**2 * left + (1 - self.decay**2) * share
        return Whitening(scale, gain, self.decay)


@dataclass(frozen=True, slots=True)
class Whitening:
    """Turns correlated residuals into uncorrelated ones of variance 1: the innovations of the
    Kalman filter for an AR(1) process seen under noise. Weeks not observed come out as 0."""

    scale: Matrix
    gain: Matrix
    decay: float

    def apply(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """`columns` is (product, week, k); sums over weeks of products of the result are those of
        the columns with the inverse correlation between them."""
        white = np.empty_like(columns)
        expected = np.zeros_like(columns[:, 0])
        for week in range(columns.shape[1]):
            surprise = columns[:, week] - expected
            white[:, week] = surprise / self.scale[:, week, None]
            expected = self.decay * (expected + self.gain[:, week, None] * surprise)
        return white


def fit_correlation(residual: Matrix, observed: NDArray[np.bool_], strength: Vector) -> Correlation:
    """Least squares of variance * decay^gap - offset to the pooled autocovariances.

    `residual` are Pearson residuals, 0 where not observed. The offset takes up the negative bias
    that comes from each product's own level having been fitted to the same weeks.
    """
    weeks = residual.shape[1]
    if weeks < 8:
        return Correlation(0.0, 0.5)
    gaps = np.arange(1, weeks // 2)
    # Products that sell much tell more of it, but none tells more than its residuals' noise allows.
    trust = 1 / (1 + strength)
    pairs = np.array([(observed[:, :-gap] & observed[:, gap:]).sum(1) for gap in gaps], float)
    products = np.array([(residual[:, :-gap] * residual[:, gap:]).sum(1) for gap in gaps])
    weight = pairs @ (trust * strength)
    found = products @ trust / np.maximum(weight, 1e-9)
    root = np.sqrt(weight)
    best = (np.inf, 0.0, 0.5, 0.0)
    for decay in _DECAYS:
        design = np.stack([decay**gaps, np.ones(len(gaps))], 1)
        (variance, level), *_ = np.linalg.lstsq(design * root[:, None], found * root, rcond=None)
        error = float((weight * (design @ [variance, level] - found) ** 2).sum())
        best = min(best, (error, float(variance), float(decay), float(level)))
    _, variance, decay, _ = best
    return Correlation(float(np.clip(variance, 0.0, 1.0)), decay)
