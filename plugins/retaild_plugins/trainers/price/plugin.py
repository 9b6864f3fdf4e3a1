"""Registers the price model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retaild.api import BuildContext, TrainerSpec, hookimpl
from retaild_plugins.trainers.price.config import PriceConfig

if TYPE_CHECKING:
    from retaild_plugins.trainers.price.trainer import PriceTrainer


def build(config: PriceConfig, context: BuildContext) -> PriceTrainer:
    from retaild_plugins.trainers.price.trainer import PriceTrainer

    return PriceTrainer(config, context.currency)


@hookimpl
def retaild_trainers() -> Sequence[TrainerSpec]:
    return (
        TrainerSpec(
            name="price",
            summary="Demand by price with shrunken elasticities; prices under rules.",
            config=PriceConfig,
            build=build,
            requires=("numpy", "pyarrow", "deltalake"),
            produces="price",
        ),
    )
