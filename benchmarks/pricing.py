"""The price model: how good its elasticities are beside the plain ways, and how fast it is.

    python -m benchmarks.pricing [--data DIR] [--shops 6]

- published: Dominick's orange juice (RETAILD_SHARED or ../shared), as in data/README.md there;
- simulated: shops with known elasticities: mean absolute error, and what 90 % intervals cover;
- holdout: Online Retail's last weeks forecast, where the price had changed;
- naive: what the textbook regression says of Online Retail when it takes the price paid for the
  price on the shelf;
- speed: training with its evaluation, and per product loading, proposing, what-if.

Prints JSON. With --data, the lake of that data directory; else one is made of the demo's data.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from retaild_plugins.trainers.price.config import PriceConfig
from retaild_plugins.trainers.price.estimate import WIDENING, fit_demand
from retaild_plugins.trainers.price.evaluation import make_split, measure
from retaild_plugins.trainers.price.lines import SaleLines, lines_from_table, read_lines
from retaild_plugins.trainers.price.loglinear import elasticity_within, own_elasticities
from retaild_plugins.trainers.price.panel import Panel, build_panel
from retaild_plugins.trainers.price.posterior import truncated
from retaild_plugins.trainers.price.shelf import shelf_prices
from retaild_plugins.trainers.price.trainer import PriceTrainer

from retaild.api import Lake
from retaild.api.pricing import PriceState
from retaild.testing.price_trainer import simulate_shop, training_context

ROOT = Path(__file__).parents[1]
TILLS = ROOT / "retaild/demo/data/online_retail.parquet"
CONFIG = PriceConfig()
LIMITS = CONFIG.elasticity_min, CONFIG.elasticity_max


def published() -> dict[str, Any]:
    import pyarrow.parquet as pq

    path = Path(os.environ.get("RETAILD_SHARED", ROOT.parent / "shared"))
    path = path / "data/orange_juice/oj_bds.parquet"
    if not path.is_file():
        return {"skipped": f"{path} is not there"}
    table = pq.read_table(path).to_pydict()
    _, brand = np.unique(table["brand"], return_inverse=True)
    found = elasticity_within(np.log(table["sales"]), np.log(table["price"]), brand)
    return {"found": round(found, 6), "published": -3.138691}


def simulated(shops: int) -> dict[str, Any]:
    """Means over shops of 240 products and 60 weeks; true spread within categories 0.6."""
    rows = [_simulated(seed) for seed in range(100, 100 + shops)]
    return {key: round(statistics.mean(row[key] for row in rows), 3) for key in rows[0]}


def _simulated(seed: int) -> dict[str, float]:
    shop = simulate_shop(seed=seed)
    categories = dict(zip(shop.product_ids, shop.categories, strict=True))
    panel = _panel(lines_from_table(shop.sales, CONFIG.weeks), categories)
    of_product = dict(zip(shop.product_ids, shop.elasticity, strict=True))
    truth = np.array([of_product[product] for product in panel.product_ids])
    fit = fit_demand(panel)
    shrunken = truncated(fit.elasticity, fit.deviation, *LIMITS)
    plain = truncated(fit.elasticity, fit.deviation / WIDENING, *LIMITS)
    own = np.clip(own_elasticities(panel, fit.season), LIMITS[0], 0)
    known = np.isfinite(own)

    def cover(low: Any, high: Any) -> float:
        return float(((low <= truth) & (truth <= high)).mean())

    def error(estimate: Any) -> float:
        return float(np.abs(estimate - truth)[known].mean())

    return {
        "error_shrunken": error(shrunken.mean),
        "error_one_for_all": error(fit.pool.overall),
        "error_own_least_squares": error(own),
        "cover_90": cover(shrunken.low, shrunken.high),
        "cover_90_not_widened": cover(plain.low, plain.high),
        "repriced_share": float(known.mean()),
    }


def _panel(lines: SaleLines, categories: dict[str, str]) -> Panel:
    kept, shelf = shelf_prices(lines, CONFIG.switch_penalty)
    panel = build_panel(kept, shelf, categories, CONFIG.bulk_multiple)
    return panel.only(panel.enough(CONFIG.min_weeks))


def holdout(lake: Lake) -> dict[str, Any]:
    """Poisson deviance per product-week with a changed price, for several lengths."""
    lines = read_lines(lake, None, CONFIG.weeks, lake.version("silver.sale"))
    products = lake.dataset("gold.product").to_table(columns=["product_id", "category"])
    names = products.to_pydict()
    categories = dict(zip(names["product_id"], names["category"], strict=True))
    kept, shelf = shelf_prices(lines, CONFIG.switch_penalty)
    panel = build_panel(kept, shelf, categories, CONFIG.bulk_multiple)
    return {f"last {weeks} weeks": _holdout(panel, weeks) for weeks in (4, 6, 8, 12)}


def _holdout(panel: Panel, weeks: int) -> dict[str, Any]:
    split = make_split(panel, weeks, CONFIG.min_weeks)
    fit = fit_demand(split.training)
    own = np.nan_to_num(np.clip(own_elasticities(split.training, fit.season), LIMITS[0], 0))
    ways = {
        "shrunken": truncated(fit.elasticity, fit.deviation, *LIMITS).mean,
        "one_for_all": np.full(len(own), fit.pool.overall),
        "own_least_squares": own,
        "no_price_effect": np.zeros(len(own)),
    }
    scores = {name: measure(split, slope, fit.season) for name, slope in ways.items()}
    return {
        "repriced_product_weeks": int(scores["shrunken"]["repriced_weeks"]),
        "overall_elasticity": round(fit.pool.overall, 2),
        **{name: round(score["repriced_deviance"], 1) for name, score in scores.items()},
    }


def naive(lake: Lake) -> dict[str, Any]:
    """log(units) ~ log(average price paid) + product, all lines: the price is the customers' mix
    of quantity breaks, so this is mostly the discount schedule."""
    lines = read_lines(lake, None, CONFIG.weeks, lake.version("silver.sale"))
    cell = lines.product * (lines.days // 7) + lines.day // 7
    units = np.bincount(cell, lines.units)
    paid = np.bincount(cell, lines.units * lines.price)
    sold = np.flatnonzero(units)
    product = sold // (lines.days // 7)
    with_paid = elasticity_within(np.log(units[sold]), np.log(paid[sold] / units[sold]), product)
    panel = _panel(lines, {})
    return {
        "average_price_paid": round(with_paid, 2),
        "shelf_price_pooled": round(fit_demand(panel).pool.overall, 2),
        "lines_by_another_price_list": int(len(lines.day) - len(_kept(lines).day)),
        "lines": len(lines.day),
    }


def _kept(lines: SaleLines) -> SaleLines:
    return shelf_prices(lines, CONFIG.switch_penalty)[0]


def speed(lake: Lake, folder: Path) -> dict[str, Any]:
    trainer = PriceTrainer(CONFIG)
    seconds, cpu = time.perf_counter(), time.process_time()
    result = trainer.train(training_context(lake, folder))
    trained = {
        "train_seconds": round(time.perf_counter() - seconds, 2),
        "train_cpu_seconds": round(time.process_time() - cpu, 2),
    }
    load = _microseconds(lambda: [trainer.load(result.artifact)])
    model = trainer.load(result.artifact)
    states = []
    for product_id in model.product_ids:
        demand = model.demand(product_id)
        assert demand is not None
        price = round(demand.base_price, 2)
        states.append(PriceState(product_id, price, price * 0.55, on_hand=demand.base_units * 6))
    prices = [0.5 + 0.02 * step for step in range(41)]
    return {
        **trained,
        "products": len(states),
        "load_milliseconds": round(load / 1000, 2),
        "propose_microseconds": _microseconds(lambda: [model.propose(s) for s in states]),
        "what_if_microseconds": _microseconds(lambda: [model.what_if(s, s.price) for s in states]),
        "curve_41_microseconds": _microseconds(lambda: [model.curve(s, prices) for s in states]),
        "metrics": {key: round(value, 3) for key, value in result.metrics.items()},
    }


def _microseconds(work: Callable[[], list[Any]]) -> float:
    """Of one item, the best of three rounds: a shared machine is no stopwatch."""
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        items = len(work())
        best = min(best, (time.perf_counter() - begin) / items)
    return round(best * 1e6, 1)


@contextmanager
def shop_lake(data: Path | None) -> Iterator[Lake]:
    """The lake of `data`, or the demo's lines written to one, categories by the last word."""
    if data is not None:
        yield Lake(data / "lake")
        return
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        with duckdb.connect() as connection:
            for table, query in _TABLES.items():
                rows = connection.sql(query, params={"tills": str(TILLS)}).to_arrow_table()
                lake.append(table, rows)
        yield lake


_GOODS = "regexp_matches(StockCode, '^[0-9]{5}[A-Za-z]*$')"
_TABLES = {
    "silver.sale": f"""
        SELECT StockCode AS product_id, InvoiceNo AS receipt_id,
            (InvoiceDate AT TIME ZONE 'UTC') AS event_time,
            CAST(Quantity AS DECIMAL(18, 3)) AS quantity,
            CAST(UnitPrice AS DECIMAL(18, 4)) AS unit_price, CAST(0 AS DECIMAL(18, 4)) AS discount,
            CASE WHEN {_GOODS} AND InvoiceNo NOT LIKE 'C%' AND Quantity > 0 AND UnitPrice > 0
                THEN 'sale' ELSE 'other' END AS line_type
        FROM read_parquet($tills)
    """,
    "gold.product": f"""
        WITH named AS (
            SELECT StockCode AS product_id,
                regexp_extract(upper(mode(Description)), '([A-Z]+)[^A-Z]*$', 1) AS noun
            FROM read_parquet($tills) WHERE {_GOODS} GROUP BY StockCode
        )
        SELECT product_id, CASE WHEN count(*) OVER (PARTITION BY noun) >= 15 THEN noun
            ELSE 'OTHER' END AS category
        FROM named
    """,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a data directory with Online Retail in its lake")
    parser.add_argument("--shops", type=int, default=6, help="simulated shops")
    chosen = parser.parse_args()
    with shop_lake(chosen.data) as lake, tempfile.TemporaryDirectory() as folder:
        figures = {
            "speed": speed(lake, Path(folder)),
            "published": published(),
            "simulated": simulated(chosen.shops),
            "holdout": holdout(lake),
            "naive": naive(lake),
        }
    json.dump(figures, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
