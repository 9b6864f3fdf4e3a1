"""Trains, measures and loads the price model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retaild.api.trainer import TrainingContext, TrainingResult
from retaild_plugins.trainers.price import artifact as files
from retaild_plugins.trainers.price.artifact import DemandTable
from retaild_plugins.trainers.price.config import PriceConfig
from retaild_plugins.trainers.price.model import RuledPriceModel

if TYPE_CHECKING:
    from retaild_plugins.trainers.price.estimate import Fit
    from retaild_plugins.trainers.price.evaluation import Split
    from retaild_plugins.trainers.price.panel import Panel

Vector = NDArray[np.float64]

SIGNATURE = {
    "inputs": {
        "product_id": "string",
        "price": "double",
        "unit_cost": "double, optional",
        "on_hand": "double, optional",
    },
    "outputs": {"price": "double", "units": "double", "revenue": "double", "margin": "double"},
}


@dataclass(frozen=True, slots=True)
class _Data:
    panel: Panel
    versions: dict[str, int]


class PriceTrainer:
    """See the README of this folder for the method and its sources."""

    def __init__(self, config: PriceConfig, currency: str = "GBP") -> None:
        self.config = config
        self.currency = currency

    def load(self, artifact: Path) -> RuledPriceModel:
        """The learned demand under the rules as they are configured now."""
        return RuledPriceModel(files.load(artifact), self.config, self.currency)

    def train(self, context: TrainingContext) -> TrainingResult:
        from retaild_plugins.trainers.price.estimate import fit_demand
        from retaild_plugins.trainers.price.evaluation import PRIMARY, make_split

        context.progress(0.0, "Reading sales")
        data = self._read(context)
        context.progress(0.4, "Measuring forecasts of the last weeks")
        split = make_split(data.panel, self.config.holdout_weeks, self.config.min_weeks)
        tested = fit_demand(split.training)
        metrics, baselines = self._scores(split, tested)
        context.progress(0.7, "Learning demand from all weeks")
        panel = data.panel.only(data.panel.enough(self.config.min_weeks))
        fit = fit_demand(panel)
        table = self._table(panel, fit, split, tested)
        context.progress(0.95, "Writing the model")
        return TrainingResult(
            artifact=files.save(table, context.workdir),
            metrics={**metrics, **_figures(fit)},
            baselines={name: {**scores, **_figures(fit)} for name, scores in baselines.items()},
            split=split.name,
            primary_metric=PRIMARY,
            greater_is_better=False,
            parameters=self.config.model_dump(mode="json", exclude={"rules"}),
            signature=SIGNATURE,
            data_versions=data.versions,
        )

    def evaluate(self, artifact: Path, context: TrainingContext) -> dict[str, float]:
        """As `train` would measure now: with what the artifact knew before the holdout began.

        A product or week that it did not know has its category's elasticity, or the overall one.
        """
        from retaild_plugins.trainers.price.estimate import fit_demand
        from retaild_plugins.trainers.price.evaluation import make_split, measure

        table = files.load(artifact)
        data = self._read(context)
        split = make_split(data.panel, self.config.holdout_weeks, self.config.min_weeks)
        season = fit_demand(split.training).season
        return measure(split, _known_before(table, split), season)

    def _read(self, context: TrainingContext) -> _Data:
        from retaild_plugins.trainers.price.lines import read_lines
        from retaild_plugins.trainers.price.panel import build_panel
        from retaild_plugins.trainers.price.shelf import shelf_prices

        lake, config = context.lake, self.config
        versions = {"silver.sale": lake.version("silver.sale")}
        lines = read_lines(lake, context.as_of, config.weeks, versions["silver.sale"])
        context.progress(0.2, "Finding shelf prices")
        category_of: dict[str, str] = {}
        if lake.exists("gold.product"):
            versions["gold.product"] = lake.version("gold.product")
            products = lake.dataset("gold.product", versions["gold.product"])
            columns = products.to_table(columns=["product_id", "category"]).to_pydict()
            category_of = dict(zip(columns["product_id"], columns["category"], strict=True))
        kept, shelf = shelf_prices(lines, config.switch_penalty)
        return _Data(build_panel(kept, shelf, category_of, config.bulk_multiple), versions)

    def _believed(self, elasticity: Vector) -> Vector:
        return np.clip(elasticity, self.config.elasticity_min, self.config.elasticity_max)

    def _scores(
        self, split: Split, fit: Fit
    ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        from retaild_plugins.trainers.price.evaluation import measure
        from retaild_plugins.trainers.price.loglinear import own_elasticities, pooled_elasticity
        from retaild_plugins.trainers.price.posterior import truncated

        limits = self.config.elasticity_min, self.config.elasticity_max
        products = len(fit.elasticity)
        # Own estimates get the benefit of the doubt: cut to the same limits, none where unknown.
        own = np.nan_to_num(np.clip(own_elasticities(split.training, fit.season), limits[0], 0.0))
        pooled = np.full(products, pooled_elasticity(split.training))
        shrunken = truncated(fit.elasticity, fit.deviation, *limits).mean
        baselines = {
            "no_price_effect": measure(split, np.zeros(products), fit.season),
            "pooled_least_squares": measure(split, pooled, fit.season),
            "own_least_squares": measure(split, own, fit.season),
        }
        return measure(split, shrunken, fit.season), baselines

    def _table(self, panel: Panel, fit: Fit, split: Split, tested: Fit) -> DemandTable:
        from retaild_plugins.trainers.price.levels import recent_level
        from retaild_plugins.trainers.price.posterior import truncated

        limits = self.config.elasticity_min, self.config.elasticity_max
        posterior = truncated(fit.elasticity, fit.deviation, *limits)
        tested_mean = truncated(tested.elasticity, tested.deviation, *limits).mean
        of_tested = dict(zip(split.panel.product_ids, tested_mean, strict=True))
        tested_category = self._believed(tested.pool.mean)
        level = recent_level(panel, posterior.mean)
        seen = np.where(panel.observed, panel.log_price, np.nan)
        first = np.datetime64(panel.first_week)
        return DemandTable(
            product_ids=panel.product_ids,
            categories=panel.categories,
            category=panel.category,
            category_elasticity=self._believed(fit.pool.mean),
            overall_elasticity=float(self._believed(np.array(fit.pool.overall))),
            elasticity=posterior.mean,
            deviation=posterior.deviation,
            low=posterior.low,
            high=posterior.high,
            base_units=level.units,
            base_price=np.exp(level.log_price),
            price_min=np.exp(np.nanmin(seen, axis=1)),
            price_max=np.exp(np.nanmax(seen, axis=1)),
            weeks=panel.observed.sum(1),
            prices=_different(panel),
            tested_elasticity=np.array(
                [
                    of_tested.get(name, tested_category[code])
                    for name, code in zip(panel.product_ids, panel.category, strict=True)
                ]
            ),
            tested_category=tested_category,
            tested_from=str(first + 7 * split.cut),
            trained_until=str(first + 7 * panel.weeks),
        )


def _different(panel: Panel) -> NDArray[np.int64]:
    """How many different prices each product was on sale at."""
    ordered = np.sort(np.where(panel.observed, panel.log_price, np.inf), axis=1)
    known = np.isfinite(ordered)
    rises = known[:, 1:] & (np.diff(np.where(known, ordered, 0.0), axis=1) > 1e-9)
    result: NDArray[np.int64] = rises.sum(1) + 1
    return result


def _figures(fit: Fit) -> dict[str, float]:
    """What was learned, beside how well: the same for all baselines."""
    return {
        "products": float(len(fit.elasticity)),
        "products_repriced": float(np.isfinite(fit.own_variance).sum()),
        "elasticity_overall": fit.pool.overall,
        "elasticity_spread": fit.pool.within,
    }


def _known_before(table: DemandTable, split: Split) -> Vector:
    """The artifact's elasticities for the split's products, learned before the holdout."""
    begin = str(np.datetime64(split.panel.first_week) + 7 * split.cut)
    fresh = table.trained_until <= begin
    own = table.elasticity if fresh else table.tested_elasticity
    category = table.category_elasticity if fresh else table.tested_category
    of_product = dict(zip(table.product_ids, own, strict=True))
    of_category = dict(zip(table.categories, category, strict=True))
    names = [split.panel.categories[code] for code in split.panel.category]
    return np.array(
        [
            of_product.get(product, of_category.get(name, table.overall_elasticity))
            for product, name in zip(split.panel.product_ids, names, strict=True)
        ]
    )
