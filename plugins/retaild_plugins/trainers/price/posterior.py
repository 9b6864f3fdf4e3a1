"""Normal posteriors cut to the region in which an elasticity is believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Posterior:
    """Mean, standard deviation and central 90 % interval, one entry per product."""

    mean: Vector
    deviation: Vector
    low: Vector
    high: Vector


def truncated(mean: Vector, deviation: Vector, lowest: float, highest: float) -> Posterior:
    """The normal distribution given that lowest <= x <= highest (Johnson, Kotz & Balakrishnan
    1994, section 13.10.1: moments of the doubly truncated normal)."""
    a, b = (lowest - mean) / deviation, (highest - mean) / deviation
    # Far in one tail, differences of the distribution function cancel: mirror to the left tail.
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    log_mass = log_ndtr(b) + np.log1p(-np.exp(np.minimum(log_ndtr(a) - log_ndtr(b), -1e-300)))
    density_a, density_b = (np.exp(-0.5 * z**2 - log_mass) / np.sqrt(2 * np.pi) for z in (a, b))
    shift = density_a - density_b
    squared = 1 + a * density_a - b * density_b - shift**2
    sign = np.where(mirrored, -1.0, 1.0)
    mass = ndtr(b) - ndtr(a)
    tail = [ndtri(np.clip(ndtr(a) + share * mass, 1e-300, 1 - 1e-16)) for share in (0.05, 0.95)]
    ends = [mean + deviation * sign * np.clip(z, a, b) for z in tail]
    return Posterior(
        mean=np.clip(mean + deviation * sign * shift, lowest, highest),
        deviation=deviation * np.sqrt(np.maximum(squared, 1e-6)),
        low=np.minimum(*ends),
        high=np.maximum(*ends),
    )
