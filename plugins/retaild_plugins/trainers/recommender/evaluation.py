"""Judges a model and the baselines on the same cases. Training only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.baselines import Baseline
from retaild_plugins.trainers.recommender.cases import Case
from retaild_plugins.trainers.recommender.evidence import Settings, gather
from retaild_plugins.trainers.recommender.metrics import CUTOFF, Slate, summary
from retaild_plugins.trainers.recommender.ranker import Ranker
from retaild_plugins.trainers.recommender.statistics import Statistics

#: A slate for a case, and one of products that the customer never bought.
Slates = Callable[[Case], tuple[Slate, Slate]]
#: With fewer known customers in the holdout, baskets alone are judged.
MINIMUM_CUSTOMERS = 20


@dataclass(slots=True)
class Exam:
    """The holdout's questions. `main` are customers' next weeks (or, in a shop without known
    customers, baskets); `baskets` is the completion of begun baskets."""

    main: list[Case]
    baskets: list[Case]
    products: int


def judge_model(
    exam: Exam, stats: Statistics, ranker: Ranker, settings: Settings
) -> dict[str, float]:
    """Metrics of the model; keys as in `judge_baseline`."""

    def slates(case: Case) -> tuple[Slate, Slate]:
        evidence = gather(stats, case.history, case.context, case.now, settings)
        scores = ranker.score(evidence.features)
        order = np.argsort(-scores, kind="stable")
        fresh = order[order >= evidence.repeats]
        return evidence.products[order[:CUTOFF]], evidence.products[fresh[:CUTOFF]]

    return _judge(exam, slates)


def judge_baseline(exam: Exam, baseline: Baseline) -> dict[str, float]:
    """`ndcg@10` and so on over `main`; `novel_...` counts only products new to the customer;
    `basket_...` over `baskets`."""

    def slates(case: Case) -> tuple[Slate, Slate]:
        basket = case.context.products
        return (
            baseline(case, basket, CUTOFF),
            baseline(case, np.concatenate([basket, case.known]), CUTOFF),
        )

    return _judge(exam, slates)


def _judge(exam: Exam, slates: Slates) -> dict[str, float]:
    main = [slates(case) for case in exam.main]
    truths = [case.truth for case in exam.main]
    new = [_new(case) for case in exam.main]
    baskets = [slates(case)[0] for case in exam.baskets]
    rest = [case.truth for case in exam.baskets]
    return {
        **summary([slate for slate, _ in main], truths, exam.products),
        **summary([fresh for _, fresh in main], new, exam.products, "novel_"),
        **summary(baskets, rest, exam.products, "basket_"),
    }


def _new(case: Case) -> NDArray[np.int32]:
    return case.truth[~np.isin(case.truth, case.known)]
