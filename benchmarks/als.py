"""MLlib's ALS beside the edge recommender: time, memory and quality on the same split.

    PYTHONPATH=.:plugins python -m benchmarks.als SOFTWARE

SOFTWARE: where `retaildctl service install spark` put it. Both are the trainers that a shop has,
with their defaults (`[trainer.recommender]`, and `[trainer.mllib]` of the plugin `spark`), each
with two threads. ALS learns from the sales before the recommender's holdout, judging and choosing
its blend within them as it always does, and then answers the recommender's own questions as the
server would ask it. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray
from retaild_plugins.cluster.spark.als.trainer import AlsTrainer
from retaild_plugins.cluster.spark.config import SparkTrainerConfig
from retaild_plugins.trainers.recommender import trainer as edge
from retaild_plugins.trainers.recommender.baselines import Baseline
from retaild_plugins.trainers.recommender.cases import Case
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.evaluation import judge_baseline
from retaild_plugins.trainers.recommender.sales import Sales

from benchmarks._memory import Peak
from benchmarks.recommender_quality import retail_lake
from retaild.api import BuildContext, Lake, TrainingContext
from retaild.api.recommender import Catalogue, CustomerState, Purchase, Recommender
from retaild.testing.trainer import TableFeatures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("software", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retaild-als-") as directory:
        root = Path(directory)
        lake = retail_lake(root / "lake")
        context = _context(lake, root / "edge")
        config = RecommenderConfig()
        began, peak = time.perf_counter(), Peak()
        result = edge.RecommenderTrainer(config).train(context)
        figures: dict[str, Any] = {
            "split": result.split,
            "edge": {
                "seconds": round(time.perf_counter() - began, 2),
                "peak_mib": peak.stop(),
                **result.metrics,
            },
        }
        sales, _ = edge._sales(context)
        split = edge._split(sales, config)
        exam = edge._exam(sales, split, config, context)
        until = datetime.fromtimestamp(split.holdout[0], UTC)
        model, cost = _als(_context(lake, root / "als", until), root, options.software)
        figures["mllib"] = {**cost, **judge_baseline(exam, _answers(model, sales))}
        print(json.dumps(figures, indent=1))


def _context(lake: Lake, workdir: Path, as_of: datetime | None = None) -> TrainingContext:
    workdir.mkdir()
    return TrainingContext(lake, TableFeatures(lake), workdir, as_of=as_of, threads=2)


def _als(
    context: TrainingContext, root: Path, software: Path
) -> tuple[Recommender, dict[str, float]]:
    """The model of all sales that the trainer may see, and what learning cost, Java's start too."""
    build = BuildContext("mllib", root / "state", root, threads=2, software_dir=software)
    began, peak = time.perf_counter(), Peak()
    trainer = AlsTrainer(SparkTrainerConfig(), build)
    result = trainer.train(context)
    cost = {"seconds": round(time.perf_counter() - began, 2), "peak_mib": peak.stop()}
    return trainer.load(result.artifact), cost


def _answers(model: Recommender, sales: Sales) -> Baseline:
    """The model's slates, asked as the server asks."""
    size = len(sales.product_ids)
    model.bind(
        Catalogue(
            product_ids=list(sales.product_ids),
            offerable=np.ones(size, np.bool_),
            price=np.full(size, np.nan),
            category=np.full(size, -1, np.int32),
            categories=[],
        )
    )

    def slate(case: Case, hidden: NDArray[np.int64], count: int) -> list[int]:
        basket, barred = case.context.products.tolist(), set(hidden.tolist())
        found = model.recommend(_state(case), basket, case.now, count + len(barred))
        return [one.product for one in found if one.product not in barred][:count]

    return slate


def _state(case: Case) -> CustomerState:
    past = case.history
    rows = zip(past.products, past.times, past.first, past.last, strict=True)
    return CustomerState(
        "asked",
        {int(p): Purchase(int(n), float(n), float(f), float(t)) for p, n, f, t in rows},
        receipts=past.receipts,
        first_time=past.first_time,
        last_time=past.last_time,
    )


if __name__ == "__main__":
    main()
