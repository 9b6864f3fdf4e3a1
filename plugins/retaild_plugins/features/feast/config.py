"""Settings of the Feast backend."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class FeastConfig(Config):
    project: str = Field(
        default="retaild",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Name of the Feast project; it prefixes the online store's tables.",
    )
    memory_mib: int = Field(
        default=2048, ge=128, description="Memory that DuckDB may use for a join in time."
    )
