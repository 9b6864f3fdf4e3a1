"""Registers the batch engine `duckdb`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BatchEngine, BatchEngineSpec, BuildContext, hookimpl
from retaild_plugins.batch.duckdb.config import DuckDBConfig


def _build(config: DuckDBConfig, context: BuildContext) -> BatchEngine:
    from retaild_plugins.batch.duckdb.engine import DuckDBEngine

    return DuckDBEngine(config, context)


@hookimpl
def retaild_batch_engines() -> Sequence[BatchEngineSpec]:
    return [
        BatchEngineSpec(
            name="duckdb",
            summary="Runs the gold layer's SQL in this process.",
            config=DuckDBConfig,
            build=_build,
            dialect="duckdb",
        )
    ]
