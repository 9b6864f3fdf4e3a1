"""Price trainers: a shop whose true elasticities are known, and the conformance suite.

A plugin's tests subclass `PriceTrainerConformance` and give it a trainer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from retaild.api.feature import FeatureBackend
from retaild.api.lake import Lake
from retaild.api.pricing import PriceModel, PriceState
from retaild.api.trainer import Trainer, TrainingContext, TrainingResult

if TYPE_CHECKING:
    import pyarrow as pa

Vector = NDArray[np.float64]

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday


@dataclass(frozen=True, slots=True)
class SimulatedShop:
    """Till lines (`silver.sale` columns) and the truth behind them, per product."""

    sales: pa.Table
    product_ids: list[str]
    categories: list[str]
    elasticity: Vector
    #: Shelf price in each week, (product, week).
    price: NDArray[np.float64]


def simulate_shop(
    *,
    products: int = 240,
    weeks: int = 60,
    seed: int = 7,
    mean: float = -2.0,
    between: float = 0.4,
    within: float = 0.6,
    drift: float = 0.15,
    repriced: float = 0.7,
) -> SimulatedShop:
    """A shop with everything that makes elasticities hard to see.

    Season common to all, another per category, slow surprises per product (AR(1)), demand that
    drifts from price to price, overdispersed counts, sparse products; a tenth of the receipts by a
    web price list 20 % dearer, and a quantity break: lines of 12 or more are 10 % cheaper. Only a
    share `repriced` of the products ever changes its price.
    """
    random = np.random.default_rng(seed)
    category = random.integers(0, 8, products)
    elasticity = np.minimum(
        mean + between * random.normal(size=8)[category] + within * random.normal(size=products),
        -0.2,
    )
    price = _prices(random, products, weeks, repriced)
    log_price = np.log(price)
    week = np.arange(weeks)
    season = 0.4 * np.sin(2 * math.pi * week / 52)
    own_season = 0.3 * np.sin(2 * math.pi * (week[None] / 52 + random.random((8, 1))))
    surprise = _autoregressive(random, products, weeks, 0.85, 0.25)
    level = random.normal(2.2, 0.9, products)
    rate = level[:, None] + season + own_season[category] + surprise + _drift(random, price, drift)
    units = np.exp(rate + elasticity[:, None] * (log_price - log_price[:, :1]))
    # Most lines carry a few pieces: as many lines as keep the mean.
    lines = random.poisson(units / 3.0)
    ids = [f"P{number:04d}" for number in range(products)]
    return SimulatedShop(
        sales=_sales(random, lines, price, ids),
        product_ids=ids,
        categories=[f"C{code}" for code in category],
        elasticity=elasticity,
        price=price,
    )


def _prices(random: np.random.Generator, products: int, weeks: int, repriced: float) -> Vector:
    """Regular prices that step now and then, and promotions of one to three weeks."""
    regular = np.round(random.lognormal(1.3, 0.6, products), 2)[:, None] * np.ones(weeks)
    for product in np.flatnonzero(random.random(products) < repriced):
        for _ in range(int(random.integers(1, 3))):
            start = int(random.integers(6, weeks - 6))
            regular[product, start:] *= random.choice([0.85, 0.9, 1.1, 1.2])
        for _ in range(int(random.integers(0, 4))):
            start = int(random.integers(4, weeks - 4))
            end = start + int(random.integers(1, 4))
            regular[product, start:end] *= random.choice([0.6, 0.7, 0.8])
    rounded: Vector = np.maximum(np.round(regular, 2), 0.05)
    return rounded


def _autoregressive(
    random: np.random.Generator, products: int, weeks: int, decay: float, spread: float
) -> Vector:
    state = random.normal(0, spread, products)
    path = np.empty((products, weeks))
    for week in range(weeks):
        path[:, week] = state
        state = decay * state + random.normal(0, spread * math.sqrt(1 - decay**2), products)
    return path


def _drift(random: np.random.Generator, price: Vector, spread: float) -> Vector:
    """A shift of log demand that belongs to each price of each product."""
    shift = np.zeros_like(price)
    for product, row in enumerate(price):
        _, place = np.unique(row, return_inverse=True)
        shift[product] = random.normal(0, spread, place.max() + 1)[place]
    return shift


def _sales(
    random: np.random.Generator, lines: NDArray[np.int64], price: Vector, ids: list[str]
) -> pa.Table:
    import pyarrow as pa

    product, week = (np.repeat(axis, lines.ravel()) for axis in _axes(lines.shape))
    count = len(product)
    day = random.integers(0, 7, count)
    receipts = max(count // (lines.shape[1] * 7 * 8), 1)
    receipt = random.integers(0, receipts, count)
    web = receipt < max(receipts // 10, 1)
    quantity = 1 + random.negative_binomial(1, 1 / 3, count)
    paid = price[product, week] * np.where(web, 1.2, np.where(quantity >= 12, 0.9, 1.0))
    times = np.datetime64(START.replace(tzinfo=None), "us") + (week * 7 + day).astype(
        "timedelta64[D]"
    )
    return pa.table(
        {
            "product_id": pa.array(ids).take(pa.array(product)),
            "receipt_id": pa.array(
                [f"{w}-{d}-{r}" for w, d, r in zip(week, day, receipt, strict=True)]
            ),
            "event_time": pa.array(times).cast(pa.timestamp("us", "UTC")),
            "quantity": pa.array(quantity.astype(float)).cast(pa.decimal128(18, 3)),
            "unit_price": pa.array(np.round(paid, 2)).cast(pa.decimal128(18, 4), safe=False),
            "discount": pa.array(np.zeros(count)).cast(pa.decimal128(18, 4)),
            "line_type": pa.array(["sale"]).take(pa.array(np.zeros(count, int))),
        }
    )


def _axes(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = np.indices(shape)
    return rows.ravel(), columns.ravel()


def write_shop(shop: SimulatedShop, root: Path) -> Lake:
    """A lake with the shop's `silver.sale` and `gold.product`."""
    import pyarrow as pa

    lake = Lake(root)
    lake.append("silver.sale", shop.sales)
    products = {"product_id": shop.product_ids, "category": shop.categories}
    lake.overwrite("gold.product", pa.table(products))
    return lake


def training_context(lake: Lake, workdir: Path, as_of: datetime | None = None) -> TrainingContext:
    """For trainers that use no features."""
    return TrainingContext(lake, cast(FeatureBackend, None), workdir, as_of=as_of)


class PriceTrainerConformance:
    """What the host expects of a trainer with `produces="price"`."""

    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls) -> SimulatedShop:
        return simulate_shop()

    @pytest.fixture(scope="class")
    @classmethod
    def lake(cls, shop: SimulatedShop, tmp_path_factory: pytest.TempPathFactory) -> Lake:
        return write_shop(shop, tmp_path_factory.mktemp("lake"))

    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls) -> Trainer:
        raise NotImplementedError("Override the fixture `trainer`.")

    @pytest.fixture(scope="class")
    @classmethod
    def result(
        cls, trainer: Trainer, lake: Lake, tmp_path_factory: pytest.TempPathFactory
    ) -> TrainingResult:
        return trainer.train(training_context(lake, tmp_path_factory.mktemp("artifact")))

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, trainer: Trainer, result: TrainingResult) -> PriceModel:
        model: PriceModel = trainer.load(result.artifact)
        return model

    def test_metrics_and_baselines_have_the_same_keys(self, result: TrainingResult) -> None:
        assert result.primary_metric in result.metrics
        assert result.baselines
        assert all(scores.keys() == result.metrics.keys() for scores in result.baselines.values())
        assert all(math.isfinite(value) for value in result.metrics.values())

    def test_names_the_data_it_was_learned_from(self, result: TrainingResult, lake: Lake) -> None:
        assert result.data_versions["silver.sale"] == lake.version("silver.sale")
        assert result.split

    def test_evaluating_the_artifact_on_its_own_split_gives_its_metrics(
        self, trainer: Trainer, result: TrainingResult, lake: Lake, tmp_path: Path
    ) -> None:
        again = trainer.evaluate(result.artifact, training_context(lake, tmp_path))
        assert again[result.primary_metric] == pytest.approx(
            result.metrics[result.primary_metric], rel=1e-6
        )

    def test_nothing_later_than_as_of_is_learned(
        self, trainer: Trainer, shop: SimulatedShop, lake: Lake, tmp_path: Path
    ) -> None:
        """Training as of a week equals training on a lake that ends there."""
        import pyarrow.compute as pc

        until = START + timedelta(weeks=40)
        early = Lake(tmp_path / "early")
        early.append("silver.sale", shop.sales.filter(pc.field("event_time") < until))
        early.overwrite("gold.product", lake.dataset("gold.product").to_table())
        results = []
        for source, folder in ((lake, "as_of"), (early, "cut")):
            as_of = until if source is lake else None
            results.append(trainer.train(training_context(source, tmp_path / folder, as_of)))
        assert results[0].metrics == pytest.approx(results[1].metrics)
        models = [trainer.load(result.artifact) for result in results]
        for product_id in shop.product_ids[:20]:
            one, two = (model.demand(product_id) for model in models)
            assert (one is None) == (two is None)
            if one is not None:
                assert one.elasticity == pytest.approx(two.elasticity)
                assert one.base_units == pytest.approx(two.base_units)

    def test_loaded_demand_is_that_of_the_shop(
        self, model: PriceModel, shop: SimulatedShop
    ) -> None:
        known = [p for p in shop.product_ids if model.demand(p) is not None]
        assert len(known) > 0.9 * len(shop.product_ids)
        for product_id in known:
            demand: Any = model.demand(product_id)
            assert demand.low <= demand.elasticity <= demand.high < 0
            assert demand.base_units >= 0
            assert demand.base_price > 0

    def test_dearer_sells_less(self, model: PriceModel, shop: SimulatedShop) -> None:
        product_id = shop.product_ids[0]
        demand: Any = model.demand(product_id)
        state = PriceState(product_id, demand.base_price, demand.base_price / 2)
        prices = [demand.base_price * factor for factor in (0.8, 0.9, 1.0, 1.1, 1.2)]
        units = [point.units for point in model.curve(state, prices)]
        assert units == sorted(units, reverse=True)

    def test_unknown_products_have_no_demand(self, model: PriceModel) -> None:
        state = PriceState("no such product", 1.0, 0.5)
        assert model.demand("no such product") is None
        assert model.propose(state) is None
        assert model.what_if(state, 2.0) is None
        assert list(model.curve(state, [1.0])) == []
