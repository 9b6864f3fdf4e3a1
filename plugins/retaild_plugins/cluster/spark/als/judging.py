"""Questions of the holdout, and how well slates answer them. Training only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.cluster.spark.als.blend import Blend, History, choices
from retaild_plugins.cluster.spark.als.factors import Factors

CUTOFF = 10
PRIMARY_METRIC = f"ndcg@{CUTOFF}"
_NAMES = ("ndcg", "recall", "hit_rate", "mrr")
_NOT_ELIGIBLE = -np.inf

#: Scores of all products for a case; higher is better.
Scorer = Callable[["Case"], NDArray[np.float64]]


@dataclass(slots=True)
class Case:
    """A customer known before `now`; `truth` is what they bought in the weeks after."""

    history: History
    now: float
    truth: NDArray[np.int64]


def model_scorer(factors: Factors, appeal: NDArray[np.float64], blend: Blend) -> Scorer:
    added = blend.popularity * appeal

    def scores(case: Case) -> NDArray[np.float64]:
        found = (
            added + factors.items @ factors.solve(case.history.products, case.history.times).factor
        )
        found[case.history.products] += blend.habits(case.history, case.now)
        return np.asarray(found)

    return scores


def baselines(ever: NDArray[np.int64], month: NDArray[np.int64]) -> dict[str, Scorer]:
    """The plain orders that a model has to beat: receipts of each product, and of each customer."""

    def popular(receipts: NDArray[np.int64]) -> Scorer:
        return lambda _case: receipts.astype(np.float64)

    def frequency(case: Case) -> NDArray[np.float64]:
        scores = month / (1.0 + month.max(initial=0))
        scores[case.history.products] += case.history.times
        return np.asarray(scores)

    return {
        "popularity": popular(ever),
        "recent popularity": popular(month),
        "personal frequency + recent popularity": frequency,
    }


def judge(cases: Sequence[Case], scorer: Scorer) -> dict[str, float]:
    """`ndcg@10` and so on; `novel_...` counts only products new to the customer."""
    every, fresh = [], []
    shown: set[int] = set()
    size = 0
    for case in cases:
        scores = scorer(case)
        size = len(scores)
        slate = best(scores)
        shown.update(slate.tolist())
        every.append(_figures(slate, case.truth))
        new = np.setdiff1d(case.truth, case.history.products)
        if len(new):
            scores[case.history.products] = _NOT_ELIGIBLE
            fresh.append(_figures(best(scores), new))
    return {
        **_means(every, ""),
        f"coverage@{CUTOFF}": round(len(shown) / max(1, size), 6),
        **_means(fresh, "novel_"),
    }


def best(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Products of the highest scores, best first; of equal ones the lower number."""
    return np.argsort(-scores, kind="stable")[:CUTOFF]


def _figures(slate: NDArray[np.int64], truth: NDArray[np.int64]) -> tuple[float, ...]:
    """Gain 1 per true product, discount 1 / log2(rank + 1) (Järvelin & Kekäläinen 2002)."""
    discount = 1.0 / np.log2(np.arange(2, CUTOFF + 2))
    hits = np.flatnonzero(np.isin(slate, truth))
    return (
        float(discount[hits].sum() / discount[: min(CUTOFF, len(truth))].sum()),
        len(hits) / len(truth),
        float(len(hits) > 0),
        1.0 / (hits[0] + 1) if len(hits) else 0.0,
    )


def _means(rows: list[tuple[float, ...]], prefix: str) -> dict[str, float]:
    means = np.mean(rows, axis=0) if rows else np.zeros(len(_NAMES))
    return {
        f"{prefix}{name}@{CUTOFF}": round(float(value), 6)
        for name, value in zip(_NAMES, means, strict=True)
    }


def chosen_blend(cases: Sequence[Case], factors: Factors, appeal: NDArray[np.float64]) -> Blend:
    """The blend that answers the cases best; of equals the one that adds less to ALS."""
    plain = [
        factors.items @ factors.solve(case.history.products, case.history.times).factor
        for case in cases
    ]
    options = list(choices())
    found = [_quality(cases, plain, appeal, blend) for blend in options]
    return options[int(np.argmax(found))] if cases else options[0]


def _quality(
    cases: Sequence[Case], known: list[NDArray[np.float64]], appeal: NDArray[np.float64],
    blend: Blend,
) -> float:  # fmt: skip
    total, added = 0.0, blend.popularity * appeal
    for case, plain in zip(cases, known, strict=True):
        scores = plain + added
        scores[case.history.products] += blend.habits(case.history, case.now)
        total += _figures(best(scores), case.truth)[0]
    return total
