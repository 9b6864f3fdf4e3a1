"""How good the recommendations are, against plain baselines and published figures.

    PYTHONPATH=.:plugins python benchmarks/recommender_quality.py [online-retail] [tafeng]

Online Retail comes with the repository; Ta-Feng is read from RETAILD_SHARED (or ../shared) and left
out with a word where it is absent. Prints one JSON object per task.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from retaild_plugins.trainers.recommender.artifact import Artifact
from retaild_plugins.trainers.recommender.cases import Case, Histories
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.evidence import Context, Settings, gather
from retaild_plugins.trainers.recommender.fit import fit
from retaild_plugins.trainers.recommender.ranking import train_ranker
from retaild_plugins.trainers.recommender.sales import Sales
from retaild_plugins.trainers.recommender.statistics import STORE_COLUMNS, Statistics
from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer

from retaild.api import Lake, TrainingContext
from retaild.pipeline.batch import batch_tables
from retaild.testing.trainer import TableFeatures

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("RETAILD_SHARED", ROOT.parent / "shared")) / "data"
DAY = 86_400.0
NOW = datetime(2020, 1, 1, tzinfo=UTC).timestamp()


def online_retail(folder: Path) -> dict[str, Any]:
    """The trainer as it is used, on its own time split."""
    lake = retail_lake(folder / "lake")
    (folder / "work").mkdir()
    began = time.perf_counter()
    context = TrainingContext(lake, TableFeatures(lake), folder / "work")
    result = RecommenderTrainer(RecommenderConfig()).train(context)
    seconds = time.perf_counter() - began
    best = max(scores["ndcg@10"] for scores in result.baselines.values())
    return {
        "split": result.split,
        "model": result.metrics,
        "baselines": result.baselines,
        "training_seconds": round(seconds, 1),
        "ratio_to_best_baseline": round(result.metrics["ndcg@10"] / best, 4),
    }


def retail_lake(folder: Path) -> Lake:
    """silver.sale of Online Retail's sale lines, and the snapshot tables of gold."""
    lines = (
        pl.scan_parquet(ROOT / "retaild" / "demo" / "data" / "online_retail.parquet")
        .filter(
            pl.col("StockCode").str.contains(r"^\d{5}[A-Za-z]*$")
            & ~pl.col("InvoiceNo").str.starts_with("C")
            & (pl.col("Quantity") > 0)
            & (pl.col("UnitPrice") > 0)
        )
        .select(
            event_time=pl.col("InvoiceDate")
            .dt.replace_time_zone("Europe/London", ambiguous="earliest")
            .dt.convert_time_zone("UTC"),
            store=pl.lit("main"),
            receipt_id="InvoiceNo",
            product_id="StockCode",
            description="Description",
            quantity=pl.col("Quantity").cast(pl.Float64),
            unit_price="UnitPrice",
            amount=pl.col("UnitPrice") * pl.col("Quantity"),
            customer_id=pl.col("CustomerID").cast(pl.Int64).cast(pl.String),
            country="Country",
            line_type=pl.lit("sale"),
        )
        .collect()
    )
    lake, table = Lake(folder), lines.to_arrow()
    lake.overwrite("silver.sale", table)
    engine = duckdb.connect(config={"threads": 2})
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute("SET enable_progress_bar = false")
    engine.register("silver_sale", table)
    for step in batch_tables():
        if step.name.endswith("_snapshot"):
            lake.overwrite(step.name, engine.sql(step.sql).to_arrow_table())
    return lake


#: TIFU-KNN (Hu et al. 2020) on the same key set: shared/data/README.md.
TIFU_KNN = {"recall@10": 0.1249, "ndcg@10": 0.1006, "hit_rate@10": 0.3856}
#: Ta-Feng has the order of a customer's baskets but no dates: they are set this far apart.
STEP = 7 * DAY
TAFENG = RecommenderConfig(
    half_life_days=42, popularity_half_life_days=1e4, rest_quantile=0, similar_customers=300,
    neighbours=100, candidates=100, repeats=100, trees=100,
)  # fmt: skip


def tafeng(folder: Path) -> dict[str, Any]:
    """Next basket of the 5,091 test users.

    The ranker learns from every user's last known basket, with statistics from the baskets before
    it; the validation users' future baskets are not used. As in the published code, statistics see
    the histories of all users, the test users' own included.
    """
    source = SHARED / "tafeng"
    history = {user: b[1:-1] for user, b in _json(source / "tafeng_history.json.gz").items()}
    future = _json(source / "tafeng_future.json.gz")
    keys = _json(source / "tafeng_keyset.json.gz")
    settings = Settings(
        TAFENG.half_life_days, TAFENG.similar_customers, TAFENG.candidates, TAFENG.repeats
    )
    earlier = {user: baskets[:-1] for user, baskets in history.items() if len(baskets) > 1}
    answers = {user: history[user][-1] for user in earlier}
    examples = []
    for case, stats in _next_baskets(earlier, answers, int(keys["item_num"])):
        evidence = gather(stats, case.history, case.context, NOW, settings)
        examples.append((case, evidence.compact()))
    train_ranker(examples, TAFENG, 2, 7, folder / "ranker.txt")
    ranker = Artifact(folder, settings, NOW, NOW).ranker()
    slates, own, truths = [], [], []
    tested = {user: future[user][1] for user in keys["test"]}
    for case, stats in _next_baskets(history, tested, int(keys["item_num"])):
        evidence = gather(stats, case.history, case.context, NOW, settings)
        order = np.argsort(-ranker.score(evidence.features), kind="stable")[:10]
        slates.append(evidence.products[order])
        own.append(_most_frequent(case, stats))
        truths.append(case.truth)
    model = _published_metrics(slates, truths)
    return {
        "model": model,
        "personal frequency + popularity": _published_metrics(own, truths),
        "TIFU-KNN (published)": TIFU_KNN,
        "ratio_to_published": {k: round(model[k] / v, 4) for k, v in TIFU_KNN.items()},
        "users": len(truths),
    }


def _json(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def _next_baskets(
    known: dict[str, list[list[int]]], answers: dict[str, list[int]], products: int
) -> Iterator[tuple[Case, Statistics]]:
    """A case per answer, and what the known baskets teach."""
    users = sorted(known)
    rows = sorted(
        (NOW + (place - len(known[user])) * STEP, number, place, product)
        for number, user in enumerate(users)
        for place, basket in enumerate(known[user])
        for product in set(basket)
    )
    time, customer, place, product = (np.array(column) for column in zip(*rows, strict=True))
    sales = Sales(
        product=product.astype(np.int32), customer=customer.astype(np.int32),
        country=np.full(len(rows), -1, np.int32),
        receipt=(customer * 1000 + place).astype(np.int32), time=time.astype(np.float64),
        price=np.ones(len(rows)), order=np.zeros(len(rows), np.int32),
        product_ids=[str(p) for p in range(products + 1)], names=[""] * (products + 1),
        customer_ids=users, countries=[],
    )  # fmt: skip
    nothing = np.full((products + 1, len(STORE_COLUMNS)), np.nan, np.float32)
    stats = fit(sales, NOW, TAFENG, nothing, 2)
    histories = Histories(sales, NOW)
    for number, user in enumerate(users):
        if user in answers:
            history = histories.of(number)
            truth = np.unique(np.array(answers[user], np.int32))
            yield Case(history, Context(), NOW, truth, history.products), stats


def _most_frequent(case: Case, stats: Statistics) -> NDArray[np.int64]:
    scores = np.array(stats.appeal, np.float64) / 2
    scores[case.history.products] += case.history.times
    return np.argsort(-scores, kind="stable")[:10]


def _published_metrics(
    slates: Sequence[NDArray[np.int64]], truths: Sequence[NDArray[np.int32]]
) -> dict[str, float]:
    """As in the published figures: the ideal DCG holds ALL true products, not just ten."""
    discount = 1.0 / np.log2(np.arange(2, 1000))
    rows = []
    for slate, truth in zip(slates, truths, strict=True):
        hits = np.isin(slate, truth)
        ideal = discount[: len(truth)].sum()
        gain = discount[: len(slate)][hits].sum()
        rows.append((hits.sum() / len(truth), gain / ideal, float(hits.any())))
    means = np.mean(rows, axis=0)
    return {name: round(float(m), 4) for name, m in zip(TIFU_KNN, means, strict=True)}


TASKS: dict[str, tuple[Callable[[Path], dict[str, Any]], Path]] = {
    "online-retail": (online_retail, ROOT),
    "tafeng": (tafeng, SHARED / "tafeng"),
}


def main(wanted: Sequence[str]) -> None:
    for name in wanted or TASKS:
        task, data = TASKS[name]
        if not data.exists():
            print(json.dumps({"task": name, "skipped": f"{data} is absent"}))
            continue
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            found = task(Path(folder))
            seconds = round(time.perf_counter() - began, 1)
            print(json.dumps({"task": name, **found, "seconds": seconds}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
