"""Settings of the embedded stream processor."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class EmbeddedStreamConfig(Config):
    batch_rows: int = Field(
        default=262_144,
        ge=1,
        le=1_048_576,
        description="Rows of one micro-batch at most, when there is a backlog. More is faster and "
        "takes more memory: about 1 KiB a row.",
    )
