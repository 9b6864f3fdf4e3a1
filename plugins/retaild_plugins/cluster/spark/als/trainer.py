"""The trainer: learns from the lake on Spark, judges itself, writes plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from retaild.api import BuildContext, Lake, TrainingContext, TrainingResult
from retaild.api.errors import MissingDataError
from retaild.api.trainer import Offer, Slate
from retaild_plugins.cluster.spark.als import reasons
from retaild_plugins.cluster.spark.als.artifact import Artifact, Learned
from retaild_plugins.cluster.spark.als.weeks import WEEK, Weeks, weeks
from retaild_plugins.cluster.spark.config import SparkTrainerConfig
from retaild_plugins.cluster.spark.session import SESSIONS

if TYPE_CHECKING:
    from retaild_plugins.cluster.spark.als.judging import Case
    from retaild_plugins.cluster.spark.als.lines import Lines
    from retaild_plugins.cluster.spark.als.model import AlsModel

#: With fewer known customers to judge it by, a figure would say nothing.
MINIMUM_CUSTOMERS = 20
#: So many choose how much habits count: the answer hardly changes with more.
CHOOSING_CUSTOMERS = 1000


class TooFewError(MissingDataError):
    def __init__(self, what: str, found: int, needed: int) -> None:
        super().__init__(
            f"ALS needs {needed} {what}; there are {found}.",
            hint="Import more till data, with customers. `minimum_receipts` may be lowered.",
        )


class LeakError(MissingDataError):
    """An artifact knows the weeks that should judge it."""

    def __init__(self, split: str) -> None:
        super().__init__(
            f"That version was trained on part of the {split}, so they cannot judge it.",
            hint="Judge it on later sales, or compare the metrics of its own run.",
        )


class AlsTrainer:
    """See retaild.api.trainer.Trainer, and BatchScorer."""

    def __init__(self, config: SparkTrainerConfig, context: BuildContext) -> None:
        self._config, self._context = config, context

    def train(self, context: TrainingContext) -> TrainingResult:
        config, progress = self._config, context.progress
        progress(0.0, "starting Spark")
        version = _version(context.lake)
        with self._training_lines(context, version) as lines:
            span = self._span(lines)
            progress(0.2, "learning before the weeks that choose")
            first = self._fit(lines, span.choice, context)
            progress(0.4, "choosing how much habits count")
            artifact = self._chosen(lines, span, first, context)
            progress(0.45, "learning before the weeks that judge")
            evaluated = self._fit(lines, span.holdout, context)
            progress(0.65, "judging it on the newest weeks")
            cases = self._cases(lines, span, context)
            metrics = _judged(artifact, evaluated, lines.product_ids, cases)
            plain = _baselines(lines, span, cases)
            progress(0.75, "learning from all sales")
            artifact.write(self._fit(lines, lines.end, context), evaluated)
        progress(1.0, "done")
        return TrainingResult(
            artifact=context.workdir,
            metrics=metrics,
            baselines=plain,
            split=span.name,
            primary_metric="ndcg@10",
            parameters={
                **config.model_dump(), "seed": context.seed,
                **{f"blend_{name}": value for name, value in asdict(artifact.blend).items()},
            },
            signature=_SIGNATURE,
            data_versions={"silver.sale": version},
        )  # fmt: skip

    def evaluate(self, artifact: Path, context: TrainingContext) -> dict[str, float]:
        """As the contract says; raises LeakError where the artifact has seen the judging weeks."""
        found = Artifact.read(artifact)
        with self._training_lines(context, _version(context.lake)) as lines:
            span = self._span(lines)
            known = (found.learned(name) for name in ("serving", "evaluated"))
            fair = [learned for learned in known if learned.until <= span.holdout + 1.0]
            if not fair:
                raise LeakError(span.name)
            cases = self._cases(lines, span, context)
            return _judged(found, fair[0], lines.product_ids, cases)

    def load(self, artifact: Path) -> AlsModel:
        from retaild_plugins.cluster.spark.als.model import AlsModel

        return AlsModel(Artifact.read(artifact))

    def score_all(self, artifact: Path, lake: Lake, count: int, now: float) -> Iterator[Slate]:
        """Whoever is in the factors, ranked on Spark. See retaild.api.trainer.BatchScorer."""
        from retaild_plugins.cluster.spark.als.fitting import slates

        found = Artifact.read(artifact)
        learned = found.learned("serving")
        moment, version = datetime.fromtimestamp(now, UTC), _version(lake)
        with self._lines(lake, version, moment, self._context.threads, learned) as lines:
            best = slates(lines, found, learned, count, now)
            for customer, offers in best.toLocalIterator(prefetchPartitions=True):
                yield Slate(
                    learned.customer_ids[customer],
                    [
                        Offer(learned.product_ids[o.product], o.score, *_reason(o.receipts))
                        for o in offers
                    ],
                )

    @contextmanager
    def _lines(
        self, lake: Lake, version: int, as_of: datetime | None, threads: int,
        numbering: Learned | None = None,
    ) -> Iterator[Lines]:  # fmt: skip
        """The sales, in a session that is over afterwards."""
        from retaild_plugins.cluster.spark.als.lines import read_lines

        session = SESSIONS.acquire(self._config, replace(self._context, threads=threads))
        try:
            lines = read_lines(session, lake, version, as_of, threads, numbering)
            try:
                yield lines
            finally:
                lines.frame.unpersist()
        finally:
            SESSIONS.release()

    def _training_lines(
        self, context: TrainingContext, version: int
    ) -> AbstractContextManager[Lines]:
        return self._lines(context.lake, version, context.as_of, context.threads)

    def _span(self, lines: Lines) -> Weeks:
        needed = self._config.minimum_receipts
        if not lines.product_ids:
            raise TooFewError("receipts", 0, needed)
        span = weeks(lines.begin, lines.end, self._config.holdout_weeks)
        receipts = lines.count_receipts(span.choice)
        if receipts < needed:
            raise TooFewError("receipts before the weeks that judge it", receipts, needed)
        return span

    def _fit(self, lines: Lines, until: float, context: TrainingContext) -> Learned:
        from retaild_plugins.cluster.spark.als.fitting import fit

        return fit(lines, until, self._config, context.threads, context.seed)

    def _chosen(
        self, lines: Lines, span: Weeks, learned: Learned, context: TrainingContext
    ) -> Artifact:
        """An artifact with the blend that answers the weeks before the judging ones best."""
        from retaild_plugins.cluster.spark.als.factors import Factors
        from retaild_plugins.cluster.spark.als.judging import chosen_blend

        config = self._config
        limit = min(CHOOSING_CUSTOMERS, config.maximum_cases)
        cases = lines.cases(span.choice, span.holdout, limit, context.seed)
        items, appeal = learned.renumbered(lines.product_ids)
        factors = Factors(items, config.alpha, config.regularisation)
        blend = chosen_blend(cases, factors, appeal)
        return Artifact(context.workdir, config.alpha, config.regularisation, blend)

    def _cases(self, lines: Lines, span: Weeks, context: TrainingContext) -> list[Case]:
        cases = lines.cases(span.holdout, span.end, self._config.maximum_cases, context.seed)
        if len(cases) < MINIMUM_CUSTOMERS:
            raise TooFewError(
                "customers who came before and in the weeks that judge it", len(cases),
                MINIMUM_CUSTOMERS,
            )  # fmt: skip
        return cases


def _version(lake: Lake) -> int:
    from retaild_plugins.cluster.spark.als.lines import SALES

    return lake.version(SALES)


def _judged(
    artifact: Artifact, learned: Learned, product_ids: list[str], cases: list[Case]
) -> dict[str, float]:
    from retaild_plugins.cluster.spark.als.judging import judge, model_scorer

    items, appeal = learned.renumbered(product_ids)
    return judge(cases, model_scorer(artifact.factors(items), appeal, artifact.blend))


def _baselines(lines: Lines, span: Weeks, cases: list[Case]) -> dict[str, dict[str, float]]:
    from retaild_plugins.cluster.spark.als.judging import baselines, judge

    ever = lines.receipts(0.0, span.holdout)
    month = lines.receipts(span.holdout - 4 * WEEK, span.holdout)
    return {name: judge(cases, scorer) for name, scorer in baselines(ever, month).items()}


def _reason(receipts: float) -> tuple[str, str]:
    if receipts:
        return reasons.repeat(round(receipts)), "repeat"
    return reasons.same_taste(), "als"


#: Inputs and outputs of `Recommender.recommend`.
_SIGNATURE: dict[str, object] = {
    "inputs": {
        "customer_id": "string", "purchases": "list of (product_id, times, last)",
        "basket": "list of product_id", "views": "list of (product_id, time)",
        "now": "float64 (seconds since the epoch, UTC)", "count": "int64",
    },
    "outputs": {
        "product_id": "string", "score": "float64", "reason": "string", "source": "string",
    },
}  # fmt: skip
