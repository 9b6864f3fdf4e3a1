"""Demand: units of a product in a week, with a price elasticity pooled over products.

    E[units_it] = exposure_it * exp(level_i + week_t + elasticity_i * (log_price_it - mean_i))
    Var[units_it] = dispersion_i * E[units_it],  Corr over weeks: see `correlation`

Week effects are common to all products (season, trend, opening hours), levels are each product's
own, so an elasticity is learned from how a product's sales differ from the shop's when its price
differs from its usual one. The estimating equations are those of Liang & Zeger (1986) with a normal
prior on the elasticity (penalised quasi-likelihood, Breslow & Clayton 1993), whose parameters are
learned along the way (`pooling`). All products are solved together, in arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild.api.errors import MissingDataError
from retaild_plugins.trainers.price.correlation import Correlation, fit_correlation
from retaild_plugins.trainers.price.panel import Panel
from retaild_plugins.trainers.price.pooling import Pool, fit_pool

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ROUNDS = 40
#: Rounds after which the correlation is measured anew (it moves little after the first).
_MEASURE = frozenset({2, 5, 9})
_TOLERANCE = 1e-4
#: Own estimates with a larger variance say nothing on how products differ, and may be anywhere.
_TELLING = 25.0
#: Weight, in weeks, of the range's typical dispersion beside a product's own.
_DISPERSION_WEEKS = 5.0


class TooFewProductsError(MissingDataError):
    key = "price.too_few_products"

    def __init__(self, products: int) -> None:
        super().__init__(
            f"Only {products} products have sold in enough weeks to learn their demand.",
            hint="Let sales gather, or lower `min_weeks` of the price trainer.",
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """What was learned, one entry per product of the panel.

    `elasticity` and `deviation` are the posterior's before truncation. `own` and `own_variance` are
    what the product's sales say by themselves (variance inf: nothing). Units at the product's mean
    log price in an average week are exp(`level`).
    """

    elasticity: Vector
    deviation: Vector
    own: Vector
    own_variance: Vector
    level: Vector
    mean_log_price: Vector
    week: Vector
    dispersion: Vector
    pool: Pool
    correlation: Correlation


def fit_demand(panel: Panel) -> Fit:
    """Learn the demand of every product of the panel. Raises TooFewProductsError."""
    if len(panel.product_ids) < 2:
        raise TooFewProductsError(len(panel.product_ids))
    return _Fitting(panel).run()


class _Fitting:
    """The state of the iteration; see `fit_demand`."""

    def __init__(self, panel: Panel) -> None:
        seen = panel.observed
        self.seen = seen
        self.units = np.where(seen, panel.units, 0.0)
        self.exposure = np.where(seen, panel.exposure, 0.0)
        self.category = panel.category
        self.mean = (panel.log_price * seen).sum(1) / seen.sum(1)
        self.price = np.where(seen, panel.log_price - self.mean[:, None], 0.0)
        #: Products that were sold at more than one price: only they say anything on elasticity.
        self.varied = np.flatnonzero((np.abs(self.price) > 1e-6).any(1))
        self.pool = Pool.start(len(panel.categories))
        self.slope = self.pool.mean[self.category]
        self.level = np.log((self.units.sum(1) + 0.5) / np.maximum(self.exposure.sum(1), 1e-9))
        self.week = np.zeros(panel.weeks)
        self.dispersion = np.ones(len(self.mean))
        self.correlation = Correlation()
        self.inverses = self.correlation.inverses(seen[self.varied])
        self.information = np.zeros(len(self.varied))

    def run(self) -> Fit:
        for step in range(_ROUNDS):
            self._weeks()
            self._dispersions()
            if step in _MEASURE:
                self._measure_correlation()
            moved = self._products()
            if step >= 2 and len(self.varied):
                self._pool()
            if step > max(_MEASURE) and moved < _TOLERANCE:
                break
        return self._result()

    def _expected(self) -> Matrix:
        eta = self.level[:, None] + self.slope[:, None] * self.price + self.week
        mean: Matrix = np.maximum(self.exposure * np.exp(np.minimum(eta, 30.0)), 1e-9) * self.seen
        return mean

    def _weeks(self) -> None:
        """One step of the week effects: weighted totals observed over expected."""
        mean = self._expected()
        weight = 1 / self.dispersion[:, None]
        observed, expected = (self.units * weight).sum(0), (mean * weight).sum(0)
        known = expected > 0
        step = np.zeros_like(self.week)
        step[known] = np.log(np.maximum(observed[known], 1e-3) / expected[known])
        self.week += np.clip(step, -3, 3)
        self.week -= self.week[known].mean()

    def _dispersions(self) -> None:
        mean = self._expected()
        pearson = np.where(self.seen, (self.units - mean) ** 2 / np.maximum(mean, 1e-9), 0).sum(1)
        freedom = np.maximum(self.seen.sum(1) - 2, 1)
        typical = np.median(pearson / freedom)
        shrunk = (_DISPERSION_WEEKS * typical + pearson) / (_DISPERSION_WEEKS + freedom)
        self.dispersion = np.maximum(shrunk, 1.0)

    def _residual(self, mean: Matrix) -> Matrix:
        scale = np.sqrt(np.maximum(mean, 1e-9) * self.dispersion[:, None])
        residual: Matrix = np.where(self.seen, (self.units - mean) / scale, 0.0)
        return residual

    def _measure_correlation(self) -> None:
        residual = self._residual(self._expected())
        self.correlation = fit_correlation(residual, self.seen)
        self.inverses = self.correlation.inverses(self.seen[self.varied])

    def _products(self) -> float:
        """One Newton step of every level and slope; the largest move of a slope."""
        mean = self._expected()
        residual = self._residual(mean)
        total = np.maximum(mean.sum(1), 1e-9)
        self.level += np.clip(np.log(np.maximum(self.units.sum(1), 0.5) / total), -1, 1)
        unvaried = np.ones(len(self.level), np.bool_)
        unvaried[self.varied] = False
        self.slope[unvaried] = self.pool.mean[self.category[unvaried]]
        if not len(self.varied):
            return 0.0
        return self._varied_products(mean[self.varied], residual[self.varied])

    def _varied_products(self, mean: Matrix, residual: Matrix) -> float:
        at = self.varied
        # These levels move by the joint step below; undo the simple one.
        self.level[at] -= np.clip(
            np.log(np.maximum(self.units[at].sum(1), 0.5) / np.maximum(mean.sum(1), 1e-9)), -1, 1
        )
        root = np.sqrt(mean / self.dispersion[at][:, None])
        design = np.stack([root, root * self.price[at], residual], 2).astype(np.float32)
        products = np.einsum("ntk,ntl->nkl", design, np.matmul(self.inverses, design)).astype(float)
        aa, ab, bb = products[:, 0, 0], products[:, 0, 1], products[:, 1, 1]
        score_a, score_b = products[:, 0, 2], products[:, 1, 2]
        aa = np.maximum(aa, 1e-9)
        self.information = np.maximum(bb - ab**2 / aa, 1e-9)
        prior = 1 / self.pool.within**2
        penalised = score_b - prior * (self.slope[at] - self.pool.mean[self.category[at]])
        slope = (penalised - ab / aa * score_a) / (self.information + prior)
        level = (score_a - ab * slope) / aa
        self.slope[at] += np.clip(slope, -1, 1)
        self.level[at] += np.clip(level, -1, 1)
        return float(np.abs(slope).max())

    def _own(self) -> tuple[Vector, Vector]:
        """Unpooled estimates that the present pooled ones imply, and their variances."""
        slope = self.slope[self.varied]
        prior = self.pool.mean[self.category[self.varied]]
        shrink = 1 / (self.pool.within**2 * self.information)
        return slope + (slope - prior) * shrink, 1 / self.information

    def _pool(self) -> None:
        own, variance = self._own()
        telling = variance < _TELLING
        if telling.any():
            category = self.category[self.varied][telling]
            self.pool = fit_pool(own[telling], variance[telling], category, len(self.pool.mean))

    def _result(self) -> Fit:
        products = len(self.level)
        pool, category = self.pool, self.category
        own, own_variance = np.full(products, np.nan), np.full(products, np.inf)
        elasticity = pool.mean[category].copy()
        variance = pool.within**2 + pool.mean_variance[category]
        if len(self.varied):
            at = self.varied
            own[at], own_variance[at] = self._own()
            keep = pool.within**2 / (pool.within**2 + own_variance[at])
            elasticity[at] = keep * own[at] + (1 - keep) * elasticity[at]
            # Morris (1983): the prior's mean is itself estimated.
            unsure = (1 - keep) ** 2 * pool.mean_variance[category[at]]
            variance[at] = keep * own_variance[at] + unsure
        return Fit(
            elasticity=elasticity,
            deviation=np.sqrt(variance),
            own=own,
            own_variance=own_variance,
            level=self.level,
            mean_log_price=self.mean,
            week=self.week,
            dispersion=self.dispersion,
            pool=pool,
            correlation=self.correlation,
        )
