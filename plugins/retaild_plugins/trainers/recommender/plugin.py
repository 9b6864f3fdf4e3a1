"""Registers the recommender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retaild.api import BuildContext, TrainerSpec, hookimpl
from retaild_plugins.trainers.recommender.config import RecommenderConfig

if TYPE_CHECKING:
    from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer


def build(config: RecommenderConfig, context: BuildContext) -> RecommenderTrainer:
    from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer

    return RecommenderTrainer(config)


@hookimpl
def retaild_trainers() -> Sequence[TrainerSpec]:
    return (
        TrainerSpec(
            name="recommender",
            summary="Repeat purchases, baskets, similar customers and trends, ranked by LightGBM.",
            config=RecommenderConfig,
            build=build,
            requires=("lightgbm", "implicit", "numpy", "polars", "scipy"),
            produces="recommender",
        ),
    )
