"""Settings of the DuckDB batch engine."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class DuckDBConfig(Config):
    memory_mib: int = Field(
        default=2048,
        ge=256,
        description="Memory that DuckDB may take; what does not fit is spilled to temporary files "
        "in the engine's state directory.",
    )
