"""Registers the source plugin `postgresql`. Imports no more than that needs."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, Source, SourceSpec, hookimpl

from retaild_postgresql.config import FAMILIES, PostgresqlConfig


def _build(config: PostgresqlConfig, context: BuildContext) -> Source:
    # Imported late: listing and checking plugins needs none of what this needs.
    from retaild_postgresql.source import PostgresqlSource

    return PostgresqlSource(config, context)


@hookimpl
def retaild_sources() -> Sequence[SourceSpec]:
    return [
        SourceSpec(
            name="postgresql",
            summary="New rows of a PostgreSQL query, read page by page.",
            config=PostgresqlConfig,
            build=_build,
            families=FAMILIES,
            read_ahead=4,
            requires=("psycopg",),
        )
    ]
