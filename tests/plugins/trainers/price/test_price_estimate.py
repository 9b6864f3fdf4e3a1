"""Elasticities: against published figures, against known truth, and formula by formula."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from retaild_plugins.trainers.price.correlation import Correlation, fit_correlation
from retaild_plugins.trainers.price.estimate import Fit, TooFewProductsError, fit_demand
from retaild_plugins.trainers.price.levels import recent_level
from retaild_plugins.trainers.price.lines import lines_from_table
from retaild_plugins.trainers.price.loglinear import (
    elasticity_within,
    least_squares,
    own_elasticities,
)
from retaild_plugins.trainers.price.panel import Panel, build_panel
from retaild_plugins.trainers.price.pooling import Cell, Estimates, Pool, fit_pool
from retaild_plugins.trainers.price.posterior import Posterior, truncated
from retaild_plugins.trainers.price.shelf import shelf_prices
from scipy import stats

from retaild.testing.price_trainer import simulate_shop

Vector = NDArray[np.float64]


# -- published figures ---------------------------------------------------------------------------


@dataclass(frozen=True)
class OrangeJuice:
    """Dominick's orange juice, 28,947 store-weeks: sales, price, brand, feature."""

    log_sales: Vector
    log_price: Vector
    brand: NDArray[np.int64]
    feature: Vector


@pytest.fixture(scope="module")
def juice(shared: Path) -> OrangeJuice:
    import pyarrow.parquet as pq

    table = pq.read_table(shared / "data/orange_juice/oj_bds.parquet").to_pydict()
    _, brand = np.unique(table["brand"], return_inverse=True)
    return OrangeJuice(
        np.log(table["sales"]), np.log(table["price"]), brand, np.array(table["feat"], float)
    )


def test_orange_juice_elasticity_is_the_published_one(juice: OrangeJuice) -> None:
    """log(sales) ~ log(price) + brand: -3.138691 (Taddy, Business Data Science)."""
    found = elasticity_within(juice.log_sales, juice.log_price, juice.brand)
    assert found == pytest.approx(-3.138691, abs=5e-7)


def test_orange_juice_interactions_are_the_published_ones(juice: OrangeJuice) -> None:
    """log(sales) ~ log(price) * brand * feat; brands in order dominicks, minute.maid, tropicana."""
    price, feature = juice.log_price, juice.feature
    maid, tropicana = (juice.brand == 1).astype(float), (juice.brand == 2).astype(float)
    one = np.ones(len(price))
    columns = [a * b * c for a in (one, price) for b in (one, maid, tropicana)
               for c in (one, feature)]  # fmt: skip
    found = least_squares(np.stack(columns, 1), juice.log_sales).coefficient
    # Order: [1, feat, mm, mm:feat, trop, trop:feat] and the same times log(price).
    assert found[6] == pytest.approx(-2.77415, abs=5e-6)
    assert found[1] == pytest.approx(1.09441, abs=5e-6)
    assert found[8] == pytest.approx(0.78293, abs=5e-6)
    assert found[10] == pytest.approx(0.73579, abs=5e-6)
    assert found[7] == pytest.approx(-0.47055, abs=5e-6)


def test_clustered_errors_equal_rows_when_each_row_is_a_cluster() -> None:
    random = np.random.default_rng(1)
    design = np.stack([np.ones(50), random.normal(size=50)], 1)
    response = design @ [1.0, -2.0] + random.normal(size=50)
    alone = least_squares(design, response)
    clustered = least_squares(design, response, np.arange(50))
    assert clustered.standard_error == pytest.approx(alone.standard_error)


# -- known truth ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Learned:
    panel: Panel
    fit: Fit
    posterior: Posterior
    truth: Vector


@pytest.fixture(scope="module", params=[20, 21, 22])
def learned(request: pytest.FixtureRequest) -> Learned:
    shop = simulate_shop(seed=request.param)
    kept, shelf = shelf_prices(lines_from_table(shop.sales, weeks=104), 2.0)
    categories = dict(zip(shop.product_ids, shop.categories, strict=True))
    panel = build_panel(kept, shelf, categories, bulk_multiple=10)
    panel = panel.only(panel.enough(8))
    fit = fit_demand(panel)
    truth = dict(zip(shop.product_ids, shop.elasticity, strict=True))
    return Learned(
        panel,
        fit,
        truncated(fit.elasticity, fit.deviation, -8.0, -0.1),
        np.array([truth[product] for product in panel.product_ids]),
    )


def test_shrunken_elasticities_beat_both_extremes(learned: Learned) -> None:
    """Mean absolute error below one elasticity for all, and far below a regression each."""
    own = own_elasticities(learned.panel, learned.fit.season)
    known = np.isfinite(own)
    error = np.abs(learned.posterior.mean - learned.truth)
    pooled = np.abs(learned.fit.pool.overall - learned.truth)
    alone = np.abs(np.clip(own[known], -8, 0) - learned.truth[known])
    assert error.mean() < 0.92 * pooled.mean()
    assert error[known].mean() < 0.5 * alone.mean()


def test_intervals_cover_what_they_promise(learned: Learned) -> None:
    """90 % intervals; 240 products whose errors share categories: +-6 points is chance."""
    inside = (learned.posterior.low <= learned.truth) & (learned.truth <= learned.posterior.high)
    assert 0.84 <= inside.mean() <= 0.97


def test_the_overall_elasticity_is_found(learned: Learned) -> None:
    assert learned.fit.pool.overall == pytest.approx(learned.truth.mean(), abs=0.3)


def test_products_of_one_price_get_their_category(learned: Learned) -> None:
    silent = np.isinf(learned.fit.own_variance)
    assert silent.any()
    category = learned.fit.pool.mean[learned.panel.category]
    assert learned.fit.elasticity[silent] == pytest.approx(category[silent])


def test_two_products_at_least() -> None:
    panel = flat_panel(np.array([[10.0] * 20]), np.zeros((1, 20)))
    with pytest.raises(TooFewProductsError):
        fit_demand(panel)


# -- formula by formula --------------------------------------------------------------------------


def flat_panel(units: Vector, log_price: Vector) -> Panel:
    products, weeks = units.shape
    return Panel(
        [str(n) for n in range(products)], np.zeros(products, np.int64), ["C"], units,
        np.ones((products, weeks)), log_price, np.ones((products, weeks), bool),
        date(2024, 1, 1),
    )  # fmt: skip


def test_without_noise_the_curve_is_found_exactly() -> None:
    """Twenty products that follow units = 100 * (price / 2)^-2 to the letter."""
    random = np.random.default_rng(3)
    price = random.choice([1.6, 1.8, 2.0, 2.2], (20, 40))
    panel = flat_panel(100 * (price / 2) ** -2.0, np.log(price))
    fit = fit_demand(panel)
    assert fit.own == pytest.approx(np.full(20, -2.0), abs=0.02)
    level = recent_level(panel, np.full(20, -2.0))
    assert level.units == pytest.approx(100 * (np.exp(level.log_price) / 2) ** -2.0)


def test_what_has_stopped_selling_sells_nothing() -> None:
    panel = flat_panel(np.array([[50.0] * 20 + [0.0] * 30]), np.zeros((1, 50)))
    assert recent_level(panel, np.array([-2.0])).units[0] < 2


def test_whitening_is_the_inverse_correlation() -> None:
    """x' V^-1 y by the filter equals the dense formula on the observed weeks."""
    random = np.random.default_rng(5)
    observed = random.random((4, 12)) < 0.8
    strength = np.array([0.5, 2.0, 8.0, 50.0])
    correlation = Correlation(variance=0.1, decay=0.7)
    columns = np.where(observed[:, :, None], random.normal(size=(4, 12, 2)), 0.0)
    white = correlation.whitening(observed, strength).apply(columns)
    gap = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    for product in range(4):
        share = min(0.1 * strength[product], 0.9)
        dense = share * 0.7**gap
        np.fill_diagonal(dense, 1.0)
        at = observed[product]
        expected = columns[product][at].T @ np.linalg.inv(dense[np.ix_(at, at)])
        expected = expected @ columns[product][at]
        assert white[product].T @ white[product] == pytest.approx(expected)


def test_wandering_demand_is_told_from_counting_noise() -> None:
    """600 products of 60 weeks: an AR(1) of variance 0.06 (times strength 5) and decay 0.8, under
    noise that makes the residuals' variance 1."""
    random = np.random.default_rng(2)
    share, decay = 0.06 * 5, 0.8
    wandering = np.empty((600, 60))
    state = random.normal(0, np.sqrt(share), 600)
    for week in range(60):
        wandering[:, week] = state
        state = decay * state + random.normal(0, np.sqrt(share * (1 - decay**2)), 600)
    residual = wandering + random.normal(0, np.sqrt(1 - share), (600, 60))
    found = fit_correlation(residual, np.ones((600, 60), bool), np.full(600, 5.0))
    assert found.variance == pytest.approx(0.06, abs=0.006)
    assert found.decay == pytest.approx(decay, abs=0.03)


def test_shrinkage_is_the_precision_weighted_mean() -> None:
    """One cell: within 0.5, so variance 0.25; an estimate of -4 with variance 0.75 keeps a quarter
    of its distance from the category's -2: -2.5. Variance: (1 - 1/4) * 0.25 + (3/4)^2 * 0.04."""
    cell = Cell(1.0, 0.5, 0.3, 0.0, np.array([-2.0]), np.array([0.04]), -2.0)
    value, variance = np.array([-4.0, np.nan]), np.array([0.75, np.inf])
    estimates = Estimates(value, variance, np.ones(2), np.zeros(2, np.int64))
    mean, spread = Pool.of([cell]).shrink(estimates)
    assert mean == pytest.approx([-2.5, -2.0])
    assert spread == pytest.approx([0.75 * 0.25 + 0.5625 * 0.04, 0.25 + 0.04])


def test_drift_adds_to_small_price_changes_most() -> None:
    """drift^2 / leverage: 0.04 / 0.01 = 4 on top for a small change, 0.04 for a large one."""
    estimates = Estimates(
        np.zeros(2), np.full(2, 0.5), np.array([0.01, 1.0]), np.zeros(2, np.int64)
    )
    assert estimates.variance_with(0.2) == pytest.approx([4.5, 0.54])


def test_the_spreads_are_found_where_the_data_tell_them() -> None:
    """4,000 products in 40 categories, measured well: within 0.8, between 0.5 around -1.5."""
    random = np.random.default_rng(4)
    category = np.repeat(np.arange(40), 100)
    means = -1.5 + 0.5 * random.normal(size=40)
    truth = means[category] + 0.8 * random.normal(size=4000)
    value = truth + 0.3 * random.normal(size=4000)
    pool = fit_pool(Estimates(value, np.full(4000, 0.09), np.full(4000, 1e6), category), 40)
    assert pool.within == pytest.approx(0.8, rel=0.12)
    assert pool.between == pytest.approx(np.std(means), rel=0.25)
    assert pool.overall == pytest.approx(means.mean(), abs=0.1)


def test_no_data_leave_the_published_average() -> None:
    pool = fit_pool(Estimates(np.array([-2.0]), np.array([24.0]), np.ones(1), np.array([0])), 1)
    assert pool.overall == pytest.approx(-2.62, abs=0.1)


@pytest.mark.parametrize(("mean", "deviation"), [(-2.0, 0.5), (0.5, 0.7), (-9.0, 1.5), (2.0, 0.3)])
def test_truncated_normal_is_scipys(mean: float, deviation: float) -> None:
    found = truncated(np.array([mean]), np.array([deviation]), -8.0, -0.1)
    a, b = (-8 - mean) / deviation, (-0.1 - mean) / deviation
    expected = stats.truncnorm(a, b, loc=mean, scale=deviation)
    assert found.mean[0] == pytest.approx(expected.mean(), abs=1e-6)
    assert found.deviation[0] == pytest.approx(expected.std(), rel=1e-4)
    assert found.low[0] == pytest.approx(expected.ppf(0.05), abs=1e-5)
    assert found.high[0] == pytest.approx(expected.ppf(0.95), abs=1e-5)
