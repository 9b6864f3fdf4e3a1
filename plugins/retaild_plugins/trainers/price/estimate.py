"""Demand: units of a product in a week, with a price elasticity pooled over products.

    E[units_it] = exposure_it * exp(level_i + season_ct + elasticity_i * (log_price_it - mean_i))
    Var[units_it] = dispersion_i * E[units_it],  Corr over weeks: see `correlation`

Season effects (see `season`) are common to all products, with smooth deviations by category; levels
are each product's own. So an elasticity is learned from how a product's sales differ from those of
its like when its price differs from its usual one. The estimating equations are those of Liang &
Zeger (1986) with a normal prior on the elasticity (penalised quasi-likelihood, Breslow & Clayton
1993), whose parameters are learned along the way (`pooling`). All products are solved together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild.api.errors import MissingDataError
from retaild_plugins.trainers.price.correlation import Correlation, fit_correlation
from retaild_plugins.trainers.price.panel import Panel
from retaild_plugins.trainers.price.pooling import Estimates, Pool, fit_pool
from retaild_plugins.trainers.price.season import Season

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ROUNDS = 40
#: Rounds after which the correlation is measured anew (it moves little after the first).
_MEASURE = frozenset({2, 5, 9})
#: Largest move of an elasticity in a round at which the iteration ends: far below any deviation.
_TOLERANCE = 3e-3
#: Own estimates with a larger variance say nothing on how products differ, and may be anywhere.
_TELLING = 25.0
#: Nor have those from price changes of a few per cent: whatever else happened is larger.
_LEAST_LEVERAGE = 1e-3
#: Weight, in weeks, of the range's typical dispersion beside a product's own.
_DISPERSION_WEEKS = 5.0
#: Units a week below which an expectation is not taken at its word when surprises are measured.
_LEAST_EXPECTED = 0.05
#: The posterior takes season, dispersion and shelf price as known and elasticities as normal, which
#: they are not quite: in simulated shops its 90 % intervals cover 0.86. This much wider, they cover
#: 0.9 (benchmarks/pricing.py).
WIDENING = 1.15
#: Most that a slope or level moves in one step.
_STEP = 1.0


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
    season: Season
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
        self.season = Season.none(len(panel.categories), panel.weeks)
        self.dispersion = np.ones(len(self.mean))
        self.correlation = Correlation()
        self._whiten()
        self.own = self.slope[self.varied]
        self.information = np.zeros(len(self.varied))
        self.leverage = _leverage(self.price[self.varied], seen[self.varied])

    def run(self) -> Fit:
        for step in range(_ROUNDS):
            self._seasons()
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
        eta = self.level[:, None] + self.slope[:, None] * self.price
        eta += self.season.of(self.category)
        mean: Matrix = np.maximum(self.exposure * np.exp(np.minimum(eta, 30.0)), 1e-9) * self.seen
        return mean

    def _seasons(self) -> None:
        weight = 1 / self.dispersion[:, None]
        observed, expected = self.units * weight, self._expected() * weight
        self.season = self.season.updated(observed, expected, self.category)

    def _dispersions(self) -> None:
        mean = np.maximum(self._expected(), _LEAST_EXPECTED)
        pearson = np.where(self.seen, (self.units - mean) ** 2 / mean, 0).sum(1)
        freedom = np.maximum(self.seen.sum(1) - 2, 1)
        typical = np.median(pearson / freedom)
        shrunk = (_DISPERSION_WEEKS * typical + pearson) / (_DISPERSION_WEEKS + freedom)
        self.dispersion = np.maximum(shrunk, 1.0)

    def _residual(self, mean: Matrix) -> Matrix:
        scale = np.sqrt(np.maximum(mean, _LEAST_EXPECTED) * self.dispersion[:, None])
        residual: Matrix = np.where(self.seen, (self.units - mean) / scale, 0.0)
        return residual

    def _measure_correlation(self) -> None:
        residual = self._residual(self._expected())
        self.correlation = fit_correlation(residual, self.seen, self._strength())
        self._whiten()

    def _whiten(self) -> None:
        at = self.varied
        self.whitening = self.correlation.whitening(self.seen[at], self._strength()[at])

    def _strength(self) -> Vector:
        """Expected units over dispersion, of a product's average week."""
        strength: Vector = self._expected().sum(1) / self.seen.sum(1) / self.dispersion
        return strength

    def _products(self) -> float:
        """One Newton step of every level and slope; the largest move of a slope."""
        mean = self._expected()
        residual = self._residual(mean)
        total = np.maximum(mean.sum(1), 1e-9)
        simple = np.clip(np.log(np.maximum(self.units.sum(1), 0.5) / total), -_STEP, _STEP)
        unvaried = np.ones(len(self.level), np.bool_)
        unvaried[self.varied] = False
        self.level[unvaried] += simple[unvaried]
        self.slope[unvaried] = self.pool.mean[self.category[unvaried]]
        if not len(self.varied):
            return 0.0
        return self._varied_products(mean[self.varied], residual[self.varied])

    def _varied_products(self, mean: Matrix, residual: Matrix) -> float:
        """The joint step of level and slope for products with several prices."""
        at = self.varied
        root = np.sqrt(mean / self.dispersion[at][:, None])
        white = self.whitening.apply(np.stack([root, root * self.price[at], residual], 2))
        products = np.einsum("ntk,ntl->nkl", white, white)
        aa, ab, bb = np.maximum(products[:, 0, 0], 1e-9), products[:, 0, 1], products[:, 1, 1]
        score_a, score_b = products[:, 0, 2], products[:, 1, 2]
        self.information = np.maximum(bb - ab**2 / aa, 1e-6)
        # What the data say, less what drift from price to price takes away from it.
        kept = 1 / (1 + self.information * self.pool.drift**2 / self.leverage)
        prior = 1 / self.pool.within**2
        pull = prior * (self.pool.mean[self.category[at]] - self.slope[at])
        own_score = score_b - ab / aa * score_a
        slope = (kept * own_score + pull) / (kept * self.information + prior)
        level = (score_a - ab * slope) / aa
        damping = np.minimum(1, _STEP / np.maximum(np.maximum(np.abs(slope), np.abs(level)), 1e-9))
        self.slope[at] += damping * slope
        self.level[at] += damping * level
        self.own = self.slope[at] + np.clip(own_score / self.information - damping * slope, -50, 50)
        return float(np.abs(slope).max())

    def _pool(self) -> None:
        telling = (1 / self.information < _TELLING) & (self.leverage > _LEAST_LEVERAGE)
        if telling.any():
            self.pool = fit_pool(self._estimates(telling), len(self.pool.mean))

    def _estimates(self, of: NDArray[np.bool_]) -> Estimates:
        category = self.category[self.varied]
        return Estimates(self.own[of], 1 / self.information[of], self.leverage[of], category[of])

    def _result(self) -> Fit:
        products, at = len(self.level), self.varied
        own, own_variance = np.full(products, np.nan), np.full(products, np.inf)
        leverage = np.ones(products)
        own[at], own_variance[at], leverage[at] = self.own, 1 / self.information, self.leverage
        elasticity, variance = self.pool.shrink(
            Estimates(own, own_variance, leverage, self.category)
        )
        return Fit(
            elasticity=elasticity,
            deviation=WIDENING * np.sqrt(variance),
            own=own,
            own_variance=own_variance + self.pool.drift**2 / leverage,
            level=self.level,
            mean_log_price=self.mean,
            season=self.season,
            dispersion=self.dispersion,
            pool=self.pool,
            correlation=self.correlation,
        )


def _leverage(price: Matrix, seen: NDArray[np.bool_]) -> Vector:
    """Sum of squares of each product's different log prices about their mean."""
    ordered = np.sort(np.where(seen, price, np.inf), axis=1)
    new = np.isfinite(ordered)
    filled = np.where(new, ordered, 0.0)
    new[:, 1:] &= np.diff(filled, axis=1) > 1e-6
    count = np.maximum(new.sum(1), 1)
    values = np.where(new, ordered, 0.0)
    mean = values.sum(1) / count
    squares: Vector = np.where(new, (values - mean[:, None]) ** 2, 0.0).sum(1)
    return np.maximum(squares, 1e-8)
