"""Plain log-log regression: what most shops and textbooks use, and our baseline.

    log(units) = level + elasticity * log(price) + ...

Ordinary least squares with standard errors robust to clustering (Liang & Zeger 1986; Arellano
1987), without pooling and without zeros (log 0 is not defined, so empty weeks are lost).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.price.panel import Panel
from retaild_plugins.trainers.price.season import Season

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """Coefficients with their standard errors, in the order of the design's columns."""

    coefficient: Vector
    standard_error: Vector


def least_squares(
    design: NDArray[np.float64], response: Vector, cluster: NDArray[np.int64] | None = None
) -> LeastSquares:
    """OLS; standard errors by cluster, or by row (HC1) without `cluster`."""
    rows, columns = design.shape
    coefficient, *_ = np.linalg.lstsq(design, response, rcond=None)
    bread = np.linalg.pinv(design.T @ design)
    scores = design * (response - design @ coefficient)[:, None]
    groups = rows
    if cluster is not None:
        groups = int(cluster.max()) + 1
        scores = np.stack([np.bincount(cluster, column, groups) for column in scores.T], 1)
    correction = groups / max(groups - 1, 1) * (rows - 1) / max(rows - columns, 1)
    covariance = bread @ (scores.T @ scores) @ bread * correction
    return LeastSquares(coefficient.astype(float), np.sqrt(np.maximum(np.diag(covariance), 0)))


def elasticity_within(log_units: Vector, log_price: Vector, group: NDArray[np.int64]) -> float:
    """One elasticity for all with a level per group: the `log(units) ~ log(price) + group` of
    textbooks, by demeaning within groups (Frisch & Waugh 1933)."""
    x, y = _demeaned(log_price, group), _demeaned(log_units, group)
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 0 else 0.0


def own_elasticities(panel: Panel, season: Season) -> Vector:
    """Per product, by OLS on its own weeks with sales, after the season; NaN if unknown."""
    used = panel.observed & (panel.units > 0)
    rows, _ = np.nonzero(used)
    y = np.log(np.maximum(panel.units, 1e-9) / np.maximum(panel.exposure, 1e-9))
    y = (y - season.of(panel.category))[used]
    y, x = _demeaned(y, rows), _demeaned(panel.log_price[used], rows)
    products = len(panel.product_ids)
    spread = np.bincount(rows, x * x, products)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-9, np.bincount(rows, x * y, products) / spread, np.nan)


def pooled_elasticity(panel: Panel) -> float:
    """One elasticity for all products, as textbooks would have it: log(units) ~ log(price) +
    product, on the weeks with sales."""
    used = panel.observed & (panel.units > 0)
    rows, _ = np.nonzero(used)
    return elasticity_within(np.log(panel.units[used]), panel.log_price[used], rows)


def _demeaned(values: Vector, group: NDArray[np.int64]) -> Vector:
    size = np.maximum(np.bincount(group), 1)
    demeaned: Vector = values - (np.bincount(group, values) / size)[group]
    return demeaned
