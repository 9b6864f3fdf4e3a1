"""MLlib's ALS beside the edge recommender: time, memory and quality on the same split.

    PYTHONPATH=.:plugins python -m benchmarks.als SOFTWARE [--rank 32] [--iterations 10]

SOFTWARE: where `retaildctl service install spark` put it. Both learn from the sales before the
recommender's own holdout and answer its own questions; ALS (implicit feedback: receipts per
customer and product; Hu, Koren & Volinsky 2008) gives the products of the highest score. A basket
is answered by the products nearest to its mean factor. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from retaild_plugins.cluster.spark.config import SparkConfig
from retaild_plugins.cluster.spark.session import SESSIONS
from retaild_plugins.trainers.recommender import trainer as edge
from retaild_plugins.trainers.recommender.baselines import Baseline
from retaild_plugins.trainers.recommender.cases import Case
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.evaluation import judge_baseline
from retaild_plugins.trainers.recommender.sales import Sales

from benchmarks._memory import Peak
from benchmarks.recommender_quality import retail_lake
from retaild.api import BuildContext, TrainingContext
from retaild.testing.trainer import TableFeatures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("software", type=Path)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retaild-als-") as directory:
        root = Path(directory)
        lake = retail_lake(root / "lake")
        (root / "work").mkdir()
        context = TrainingContext(lake, TableFeatures(lake), root / "work")
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
        baseline, cost = _als(sales, split.holdout[0], options, root)
        figures["mllib"] = {**cost, **judge_baseline(exam, baseline)}
        print(json.dumps(figures, indent=1))


def _als(
    sales: Sales, until: float, options: argparse.Namespace, root: Path
) -> tuple[Baseline, dict[str, float]]:
    """MLlib's answer to a case, and what learning cost."""
    began = time.perf_counter()
    context = BuildContext("als", root / "state", root, threads=2, software_dir=options.software)
    session = SESSIONS.acquire(SparkConfig(heap_mib=2048), context)
    try:
        from pyspark.ml.recommendation import ALS

        opened = time.perf_counter()
        als = ALS(
            userCol="customer", itemCol="product", ratingCol="receipts", implicitPrefs=True,
            rank=options.rank, maxIter=options.iterations, alpha=10.0, regParam=0.05,
            numUserBlocks=2, numItemBlocks=2, seed=7,
        )  # fmt: skip
        peak = Peak()
        model = als.fit(session.createDataFrame(_receipts(sales, until)))
        users = _factors(model.userFactors.toArrow(), len(sales.customer_ids))
        items = _factors(model.itemFactors.toArrow(), len(sales.product_ids))
        cost = {
            "open_seconds": round(opened - began, 2),
            "seconds": round(time.perf_counter() - opened, 2),
            "peak_mib": peak.stop(),
        }
    finally:
        SESSIONS.release()
    return _answers(users, items), cost


def _receipts(sales: Sales, until: float) -> pa.Table:
    rows = sales.slice(-np.inf, until)
    known = rows.customer >= 0
    pairs = np.stack([rows.customer[known], rows.product[known]]).astype(np.int32)
    unique, counts = np.unique(pairs, axis=1, return_counts=True)
    return pa.table(
        {"customer": unique[0], "product": unique[1], "receipts": counts.astype(np.float32)}
    )


def _factors(table: pa.Table, count: int) -> NDArray[np.float32]:
    """A row a number; zeros for who is not in the model."""
    rows = np.stack(table["features"].to_numpy()) if table.num_rows else np.zeros((0, 1))
    found = np.zeros((count, rows.shape[1]), np.float32)
    found[table["id"].to_numpy()] = rows
    return found


def _answers(users: NDArray[np.float32], items: NDArray[np.float32]) -> Baseline:
    lengths = np.linalg.norm(items, axis=1, keepdims=True)
    directions = items / np.maximum(lengths, 1e-9)

    def slate(case: Case, hidden: NDArray[np.int64], count: int) -> list[int]:
        basket = case.context.products
        if len(basket):
            scores = directions @ directions[basket].mean(axis=0)
        else:
            scores = items @ users[case.history.row]
        scores[hidden] = -np.inf
        best: list[int] = np.argsort(-scores, kind="stable")[:count].tolist()
        return best

    return slate


if __name__ == "__main__":
    main()
