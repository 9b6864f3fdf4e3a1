"""Registers the feature backend `feast`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, FeatureBackend, FeatureBackendSpec, hookimpl
from retaild_plugins.features.feast.config import FeastConfig


def _build(config: FeastConfig, context: BuildContext) -> FeatureBackend:
    from retaild_plugins.features.feast.backend import FeastBackend

    return FeastBackend(config, context)


@hookimpl
def retaild_feature_backends() -> Sequence[FeatureBackendSpec]:
    return [
        FeatureBackendSpec(
            name="feast",
            summary="Feast: DuckDB for joins in time, the online store in a file or in Redis.",
            config=FeastConfig,
            build=_build,
            requires=("feast", "duckdb", "deltalake"),
        )
    ]
