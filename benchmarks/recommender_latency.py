"""How long one slate takes: candidates, features, scoring and reasons, on one thread.

    PYTHONPATH=.:plugins python benchmarks/recommender_latency.py [ARTIFACT]

Without an artifact it trains one on Online Retail first. Customers are the shop's real ones, in the
state they were in after the last sale. Prints JSON; times are milliseconds of wall clock.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer

from retaild.api.recommender import Catalogue, CustomerState, Purchase

#: Trains in a process of its own: here only what a server loads shall be loaded.
TRAIN = """
import sys, json
from pathlib import Path
sys.path.insert(0, "benchmarks")
from recommender_quality import retail_lake
from retaild.api import TrainingContext
from retaild.testing.trainer import TableFeatures
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer
from retaild_plugins.trainers.recommender.sales import read_sales
from retaild_plugins.trainers.recommender.cases import Histories
folder = Path(sys.argv[1])
lake = retail_lake(folder / "lake")
(folder / "model").mkdir()
RecommenderTrainer(RecommenderConfig()).train(
    TrainingContext(lake, TableFeatures(lake), folder / "model")
)
"""
STATES = """
import sys, json
from pathlib import Path
sys.path.insert(0, "benchmarks")
from recommender_quality import retail_lake
from retaild_plugins.trainers.recommender.sales import read_sales
from retaild_plugins.trainers.recommender.cases import Histories
folder = Path(sys.argv[1])
sales = read_sales(retail_lake(folder / "states"))
histories = Histories(sales, sales.end)
found = []
for row, customer in enumerate(sales.customer_ids):
    h = histories.of(row)
    columns = [c.tolist() for c in (h.products, h.times, h.first, h.last)]
    found.append([customer, columns, h.receipts, h.first_time, h.last_time])
(folder / "states.json").write_text(json.dumps([sales.product_ids, sales.end, found]))
"""


def main(artifact: Path | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(STATES, folder)
        if artifact is None:
            _run(TRAIN, folder)
            artifact = folder / "model"
        print(json.dumps(_measure(artifact, folder / "states.json"), indent=1))


def _run(program: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(folder)], check=True)


def _measure(artifact: Path, states: Path) -> dict[str, Any]:
    products, now, rows = json.loads(states.read_text())
    before = _rss()
    began = time.perf_counter()
    model = RecommenderTrainer(RecommenderConfig()).load(artifact)
    loaded = time.perf_counter()
    count = len(products)
    model.bind(
        Catalogue(products, np.ones(count, np.bool_), np.ones(count),
                  np.full(count, -1, np.int32), [])
    )  # fmt: skip
    bound = time.perf_counter()
    customers = [_state(*row) for row in rows]
    basket = [0, 1, 2]
    return {
        "customers": len(customers),
        "products": count,
        "load_ms": round(1e3 * (loaded - began), 1),
        "bind_ms": round(1e3 * (bound - loaded), 1),
        "model_mib": round(_rss() - before, 1),
        "recommend": _times(lambda k: model.recommend(customers[k], [], now, 10), len(customers)),
        "with_basket": _times(lambda k: model.recommend(customers[k], basket, now, 10), 1000),
        "anonymous": _times(lambda k: model.recommend(None, basket, now, 10), 1000),
        "similar": _times(lambda k: model.similar(k, 10), 1000),
    }


def _state(
    customer: str, columns: list[list[Any]], receipts: int, first: float, last: float
) -> CustomerState:
    bought = {p: Purchase(int(t), t, f, z) for p, t, f, z in zip(*columns, strict=True)}
    return CustomerState(customer, bought, {}, [], receipts, first, last)


def _times(call: Callable[[int], Any], count: int) -> dict[str, float]:
    taken = np.empty(count)
    for k in range(count):
        began = time.perf_counter()
        call(k)
        taken[k] = 1e3 * (time.perf_counter() - began)
    p50, p99 = np.percentile(taken, [50, 99])
    return {
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "all_s": round(float(taken.sum()) / 1e3, 2),
    }


def _rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
