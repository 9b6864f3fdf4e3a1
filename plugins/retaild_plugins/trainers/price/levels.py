"""How much of a product sells now, at its present shelf price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.price.panel import Panel

Vector = NDArray[np.float64]

#: Weeks after which a week counts half as much for the present rate of sale.
HALF_LIFE = 4.0
#: Weight, in weeks, of a product's rate over all its weeks beside the recent ones.
_LONG_RUN_WEEKS = 0.25


@dataclass(frozen=True, slots=True)
class Level:
    """Units a week at `price`, the shelf price of the panel's last week."""

    units: Vector
    log_price: Vector


def recent_level(panel: Panel, slope: Vector, season: NDArray[np.float64] | None = None) -> Level:
    """Units a week as sold lately, brought to the present price with the given elasticities.

    Weeks after the last sale count as weeks without sales: what has not sold for months sells
    nothing now. With `season` (log effects, product by week) it is a week of effect 0.
    """
    weeks = np.arange(panel.weeks)
    now = panel.log_price[:, -1]
    sold = panel.observed & (panel.units > 0)
    last = panel.weeks - 1 - sold[:, ::-1].argmax(1)
    counted = panel.observed | (weeks > last[:, None])
    factor = np.exp(np.clip(slope[:, None] * (panel.log_price - now[:, None]), -5, 5))
    if season is not None:
        factor = factor * np.exp(season)
    exposure = np.where(counted, panel.exposure * factor, 0.0)
    units = np.where(counted, panel.units, 0.0)
    weight = 0.5 ** ((panel.weeks - 1 - weeks) / HALF_LIFE)
    long_run = units.sum(1) / np.maximum(exposure.sum(1), 1e-9)
    rate = ((units * weight).sum(1) + _LONG_RUN_WEEKS * long_run) / (
        (exposure * weight).sum(1) + _LONG_RUN_WEEKS
    )
    return Level(rate, now)
