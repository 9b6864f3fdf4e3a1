"""Forecasts of weeks that were kept aside, with and without knowing how demand reacts to price.

Every method gets the same levels data and the same help with the week (its effect, common to all
products, is fitted to the holdout week's total): what differs is the response to price. So it is
measured on the product-weeks whose price differs from the one before the holdout began; on the
others all methods say the same but for their levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.price.levels import recent_level
from retaild_plugins.trainers.price.panel import Panel
from retaild_plugins.trainers.price.season import Season

Vector = NDArray[np.float64]

#: The metric that decides: Poisson deviance per product-week with a changed price; less is better.
PRIMARY = "repriced_deviance"
#: Log price ratio that counts as a change.
_CHANGED = 0.005
#: Expected units below this are not believed: a forecast of nothing would be infinitely wrong.
_LEAST_UNITS = 0.05


@dataclass(frozen=True, slots=True)
class Split:
    """Weeks before `cut` are learned from, those from it on forecast."""

    panel: Panel
    cut: int

    @property
    def name(self) -> str:
        """Names the split: results under one name compare directly."""
        first = np.datetime64(self.panel.first_week)
        start, end = first + 7 * self.cut, first + 7 * self.panel.weeks
        return f"weeks from {start} to {end}, {len(self.panel.product_ids)} products"

    @property
    def training(self) -> Panel:
        return self.panel.until(self.cut)


def make_split(panel: Panel, holdout_weeks: int, min_weeks: int) -> Split:
    """The last weeks aside, but never more than a quarter; products that training knows."""
    cut = panel.weeks - min(holdout_weeks, max(panel.weeks // 4, 1))
    return Split(panel.only(panel.until(cut).enough(min_weeks)), cut)


def measure(split: Split, slope: Vector, season: Season) -> dict[str, float]:
    """Metrics of elasticities (one per product of the split) on the holdout weeks.

    `season` is that of the training weeks. Deviances are means of 2 (y log(y/m) - (y - m));
    `wmape` is the sum of absolute errors over the sum of units.
    """
    training, weeks = split.training, slice(split.cut, None)
    level = recent_level(training, slope, season.of(training.category))
    seen = split.panel.observed[:, weeks]
    units = np.where(seen, split.panel.units[:, weeks], 0.0)
    change = split.panel.log_price[:, weeks] - level.log_price[:, None]
    expected = np.where(seen, split.panel.exposure[:, weeks], 0.0) * level.units[:, None]
    expected = expected * np.exp(np.clip(slope[:, None] * change, -5, 5))
    expected = expected * (units.sum(0) / np.maximum(expected.sum(0), 1e-9))
    repriced = seen & (np.abs(change) > _CHANGED)
    return {
        **_scores("", units, expected, seen),
        **_scores("repriced_", units, expected, repriced if repriced.any() else seen),
        "repriced_weeks": float(repriced.sum()),
    }


def _scores(
    prefix: str, units: NDArray[np.float64], expected: NDArray[np.float64], on: NDArray[np.bool_]
) -> dict[str, float]:
    y, mean = units[on], np.maximum(expected[on], _LEAST_UNITS)
    if not len(y):
        return {f"{prefix}deviance": 0.0, f"{prefix}wmape": 0.0}
    log_ratio = np.log(np.where(y > 0, y, 1) / mean)
    deviance = 2 * (np.where(y > 0, y * log_ratio, 0) - (y - mean))
    return {
        f"{prefix}deviance": float(deviance.mean()),
        f"{prefix}wmape": float(np.abs(y - mean).sum() / max(y.sum(), 1e-9)),
    }
