"""The trainer: learns from the lake's sales, judges itself, writes the artifact."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from retaild.api import TrainingContext, TrainingResult
from retaild.api.errors import MissingDataError
from retaild_plugins.trainers.recommender.artifact import Artifact
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.evidence import FEATURES, Settings

if TYPE_CHECKING:
    from retaild_plugins.trainers.recommender.evaluation import Exam
    from retaild_plugins.trainers.recommender.model import RecommenderModel
    from retaild_plugins.trainers.recommender.ranking import Example
    from retaild_plugins.trainers.recommender.sales import Sales
    from retaild_plugins.trainers.recommender.split import Split
    from retaild_plugins.trainers.recommender.statistics import Statistics

PRIMARY_METRIC = "ndcg@10"

Made = TypeVar("Made")


class TooFewReceiptsError(MissingDataError):
    """There are sales, but not enough of them."""

    def __init__(self, found: int, needed: int) -> None:
        super().__init__(
            f"The recommender needs {needed} receipts before the weeks that judge it; "
            f"there are {found}.",
            hint="Import more till data, or lower `minimum_receipts`.",
        )


class LeakError(MissingDataError):
    """An artifact knows the weeks that should judge it."""

    def __init__(self, split: str) -> None:
        super().__init__(
            f"That version was trained on part of the {split}, so they cannot judge it.",
            hint="Judge it on later sales, or compare the metrics of its own run.",
        )


class RecommenderTrainer:
    """See retaild.api.trainer.Trainer."""

    def __init__(self, config: RecommenderConfig) -> None:
        self._config = config

    def train(self, context: TrainingContext) -> TrainingResult:
        from retaild_plugins.trainers.recommender.baselines import baselines
        from retaild_plugins.trainers.recommender.evaluation import judge_baseline, judge_model
        from retaild_plugins.trainers.recommender.ranking import train_ranker

        _calm_threads()
        config, progress = self._config, context.progress
        progress(0.0, "reading sales")
        sales, version = _sales(context)
        split = _split(sales, config)
        progress(0.1, "asking the feature store")
        learned = _learned(sales, config, context, [*split.starts, sales.end])
        examples: list[Example] = []
        for number, found in enumerate(_examples(sales, split, learned, config, context)):
            examples += found
            progress(0.15 + 0.35 * (number + 1) / len(split.labels), "gathering evidence")
        ranker = context.workdir / "ranker.txt"
        progress(0.5, f"training the ranker on {len(examples)} customers and baskets")
        gain = train_ranker(examples, config, context.threads, context.seed, ranker)
        del examples
        progress(0.7, "judging it on the newest weeks")
        evaluated = next(learned)
        exam = _exam(sales, split, config, context)
        artifact = Artifact(context.workdir, _settings(config), sales.end, split.holdout[0])
        metrics = judge_model(exam, evaluated, artifact.ranker(), artifact.settings)
        plain = {
            name: judge_baseline(exam, baseline)
            for name, baseline in baselines(sales, evaluated).items()
        }
        progress(0.9, "learning from all sales")
        artifact.write(next(learned), evaluated)
        progress(1.0, "done")
        return TrainingResult(
            artifact=context.workdir,
            metrics=metrics,
            baselines=plain,
            split=split.name,
            primary_metric=PRIMARY_METRIC,
            parameters={**config.model_dump(), "seed": context.seed, "gain": gain},
            signature=_signature(),
            data_versions={"silver.sale": version},
        )

    def evaluate(self, artifact: Path, context: TrainingContext) -> dict[str, float]:
        """As the contract says; raises LeakError where the artifact has seen the judging weeks."""
        from retaild_plugins.trainers.recommender.evaluation import judge_model

        found = Artifact.read(artifact)
        sales, _ = _sales(context)
        split = _split(sales, self._config)
        moments = {"serving": found.serving_until, "evaluated": found.evaluated_until}
        fair = [name for name, until in moments.items() if until <= split.holdout[0] + 1.0]
        if not fair:
            raise LeakError(split.name)
        stats = found.statistics(fair[0])
        exam = _exam(sales, split, self._config, context)
        rows = {customer: row for row, customer in enumerate(stats.customer_ids)}
        for case in (*exam.main, *exam.baskets):
            if case.history.row >= 0:
                case.history.row = rows.get(sales.customer_ids[case.history.row], -1)
        stats = stats.renumbered(sales.product_ids)
        return judge_model(exam, stats, found.ranker(), found.settings)

    def load(self, artifact: Path) -> RecommenderModel:
        from retaild_plugins.trainers.recommender.model import RecommenderModel

        return RecommenderModel(
            Artifact.read(artifact), self._config.category_cap, self._config.uncapped_categories
        )


def _learned(
    sales: Sales, config: RecommenderConfig, context: TrainingContext, moments: list[float]
) -> Iterator[Statistics]:
    """Statistics as of each moment, in order, with the feature store's columns of that moment.

    The next ones are learned while those before are used: learning is native code for the most
    part, using them is Python. With one thread to use there is nothing to win.
    """
    from retaild_plugins.trainers.recommender.fit import fit
    from retaild_plugins.trainers.recommender.snapshots import product_snapshots

    store = product_snapshots(context.features, sales.product_ids, moments)

    def learn(moment: float) -> Statistics:
        return fit(sales, moment, config, store[moment], context.threads)

    return ahead(learn, moments) if context.threads > 1 else map(learn, moments)


def ahead(work: Callable[[float], Made], items: Sequence[float]) -> Iterator[Made]:
    """What `work` makes of each item, in order: a thread is at the next while one is used."""
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(work, items[0])
        for item in items[1:]:
            made, coming = coming.result(), thread.submit(work, item)
            yield made
        yield coming.result()


def _settings(config: RecommenderConfig) -> Settings:
    return Settings(
        config.half_life_days, config.similar_customers, config.candidates, config.repeats
    )


def _calm_threads() -> None:
    """Math libraries' threads shall sleep, not spin, while they wait: the server lives here too.

    Beside busy processes on two cores, spinning made the ranker three times as slow and the latent
    model, on two threads, ten times (4 s against 0.5 s on one). Libraries read this when loaded.
    """
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _sales(context: TrainingContext) -> tuple[Sales, int]:
    """The sales up to `as_of`, and the version of the table they were read from."""
    os.environ.setdefault("POLARS_MAX_THREADS", str(context.threads))
    from retaild_plugins.trainers.recommender.sales import SALES, read_sales

    version = context.lake.version(SALES)
    return read_sales(context.lake, version, context.as_of), version


def _split(sales: Sales, config: RecommenderConfig) -> Split:
    import numpy as np

    from retaild_plugins.trainers.recommender.split import split

    if not len(sales):
        raise TooFewReceiptsError(0, config.minimum_receipts)
    found = split(float(sales.time[0]), sales.end, config)
    receipts = len(np.unique(sales.slice(-np.inf, found.holdout[0]).receipt))
    if receipts < config.minimum_receipts:
        raise TooFewReceiptsError(receipts, config.minimum_receipts)
    return found


def _examples(
    sales: Sales,
    split: Split,
    learned: Iterator[Statistics],
    config: RecommenderConfig,
    context: TrainingContext,
) -> Iterator[list[Example]]:
    """Per label window: its cases, with evidence from before the window only."""
    from retaild_plugins.trainers.recommender.cases import basket_cases, customer_cases
    from retaild_plugins.trainers.recommender.evidence import gather

    settings = _settings(config)
    for start, end in split.labels:
        stats = next(learned)
        limit, seed = config.maximum_cases, context.seed
        cases = customer_cases(sales, start, end, limit, seed)
        baskets = max(MINIMUM_BASKETS, min(limit, len(cases)) // 2)
        cases += basket_cases(sales, start, end, baskets, seed)
        yield [(c, gather(stats, c.history, c.context, c.now, settings).compact()) for c in cases]


#: Baskets to learn from per label window, at least; else half as many as customers.
MINIMUM_BASKETS = 300


def _exam(sales: Sales, split: Split, config: RecommenderConfig, context: TrainingContext) -> Exam:
    from retaild_plugins.trainers.recommender.cases import basket_cases, customer_cases
    from retaild_plugins.trainers.recommender.evaluation import MINIMUM_CUSTOMERS, Exam

    start, end = split.holdout
    customers = customer_cases(sales, start, end, config.maximum_cases, context.seed)
    baskets = basket_cases(sales, start, end, min(500, config.maximum_cases), context.seed)
    main = customers if len(customers) >= MINIMUM_CUSTOMERS else baskets
    return Exam(main, baskets, len(sales.product_ids))


def _signature() -> dict[str, object]:
    """Inputs and outputs of `Recommender.recommend` and of the ranker behind it."""
    return {
        "inputs": {
            "customer_id": "string", "purchases": "list of (product_id, times, first, last)",
            "basket": "list of product_id", "views": "list of (product_id, time)",
            "now": "float64 (seconds since the epoch, UTC)", "count": "int64",
        },
        "features": dict.fromkeys(FEATURES, "float32"),
        "outputs": {
            "product_id": "string", "score": "float64", "reason": "string", "source": "string",
        },
    }  # fmt: skip
