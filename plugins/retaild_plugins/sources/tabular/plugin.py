"""Registers the source `tabular`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, Source, SourceSpec, hookimpl
from retaild_plugins.sources.tabular.config import FAMILIES, TabularConfig


def _build(config: TabularConfig, context: BuildContext) -> Source:
    from retaild_plugins.sources.tabular.source import TabularSource

    return TabularSource(config, context)


@hookimpl
def retaild_sources() -> Sequence[SourceSpec]:
    return [
        SourceSpec(
            name="tabular",
            summary="CSV, TSV, JSON lines and Parquet files: one file or a watched folder.",
            config=TabularConfig,
            build=_build,
            families=FAMILIES,
            imports_files=True,
            read_ahead=2,
            requires=("duckdb", "numpy", "pyarrow"),
        )
    ]
