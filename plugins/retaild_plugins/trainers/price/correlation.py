"""How a product's surprises hang together over weeks.

A product that sold above expectation last week is likely to do so this week: fashion, shelf place,
weather. Price changes are few and last long, so taking weeks for independent makes an elasticity
look several times as certain as it is (Bertrand, Duflo & Mullainathan 2004). The correlation of two
weeks' Pearson residuals is modelled as share * decay^gap, and 1 within the week: an AR(1) process
under independent noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_DECAYS = np.arange(0.30, 0.985, 0.01)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlation of residuals `gap` weeks apart is share * decay^gap."""

    share: float = 0.3
    decay: float = 0.8

    def matrix(self, weeks: int) -> Matrix:
        gap = np.abs(np.subtract.outer(np.arange(weeks), np.arange(weeks)))
        matrix = self.share * self.decay**gap
        np.fill_diagonal(matrix, 1.0)
        return matrix

    def inverses(self, observed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(product, week, week): inverse correlation of the observed weeks; identity elsewhere."""
        weeks = observed.shape[1]
        pairs = observed[:, :, None] & observed[:, None, :]
        matrix = np.where(pairs, self.matrix(weeks)[None], 0.0)
        diagonal = np.arange(weeks)
        matrix[:, diagonal, diagonal] = 1.0
        inverses: NDArray[np.float32] = np.linalg.inv(matrix).astype(np.float32)
        return inverses


def fit_correlation(residual: Matrix, observed: NDArray[np.bool_]) -> Correlation:
    """Least squares of share * decay^gap - offset to the pooled autocorrelations.

    `residual` are Pearson residuals, 0 where not observed. The offset takes up the negative bias
    that comes from each product's own level having been fitted to the same weeks.
    """
    weeks = residual.shape[1]
    if weeks < 8:
        return Correlation(0.0, 0.5)
    gaps = np.arange(1, weeks // 2)
    pairs = np.array([(observed[:, :-gap] & observed[:, gap:]).sum() for gap in gaps], float)
    products = np.array([(residual[:, :-gap] * residual[:, gap:]).sum() for gap in gaps])
    variance = (residual**2).sum() / max(observed.sum(), 1)
    found = products / np.maximum(pairs, 1) / max(variance, 1e-12)
    root = np.sqrt(pairs)
    best = (np.inf, 0.0, 0.5, 0.0)
    for decay in _DECAYS:
        design = np.stack([decay**gaps, np.ones(len(gaps))], 1)
        (share, level), *_ = np.linalg.lstsq(design * root[:, None], found * root, rcond=None)
        error = float((pairs * (design @ [share, level] - found) ** 2).sum())
        best = min(best, (error, float(share), float(decay), float(level)))
    _, share, decay, level = best
    # Had the true level been known, all correlations would lie higher by the offset.
    return Correlation(float(np.clip(share / (1 + max(-level, 0.0)), 0.0, 0.95)), decay)
