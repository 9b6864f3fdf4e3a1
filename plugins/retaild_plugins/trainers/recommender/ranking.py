"""Trains the ranker. Training only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retaild.api.errors import MissingDataError
from retaild_plugins.trainers.recommender.cases import Case
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.evidence import FEATURES, Evidence

#: With fewer questions that have an answer among the candidates there is nothing to learn.
MINIMUM_GROUPS = 30

Example = tuple[Case, Evidence]


class TooFewAnswersError(MissingDataError):
    """Hardly a customer or basket in the label windows."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"Only {found} customers and baskets can teach the recommender; "
            f"it needs {MINIMUM_GROUPS}.",
            hint="Import more till data, or raise `label_weeks` or `label_windows`.",
        )


def parameters(config: RecommenderConfig, threads: int, seed: int) -> dict[str, Any]:
    """LightGBM's. XE-NDCG (Bruch 2021) ranked better here than lambdarank,
    and trains in a third of the time."""
    return {
        "objective": "rank_xendcg",
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.5,
        "lambda_l2": 20.0,
        "max_bin": 127,
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def train_ranker(
    examples: Sequence[Example], config: RecommenderConfig, threads: int, seed: int, path: Path
) -> dict[str, float]:
    """Fit the booster and write it to `path`; returns each feature's share of the gain."""
    import lightgbm as lgb

    labels = [np.isin(evidence.products, case.truth) for case, evidence in examples]
    useful = [k for k, label in enumerate(labels) if label.any()]
    if len(useful) < MINIMUM_GROUPS:
        raise TooFewAnswersError(len(useful))
    data = lgb.Dataset(
        np.concatenate([examples[k][1].features for k in useful]),
        np.concatenate([labels[k] for k in useful]).astype(np.int8),
        group=[len(labels[k]) for k in useful],
        feature_name=list(FEATURES),
        params={"verbosity": -1, "max_bin": 127},
    )
    booster = lgb.train(parameters(config, threads, seed), data, config.trees)
    booster.save_model(str(path))
    gain = booster.feature_importance("gain")
    return {
        name: round(float(g / max(gain.sum(), 1e-9)), 4)
        for name, g in zip(FEATURES, gain, strict=True)
    }
