"""Settings of the embedded log."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class EmbeddedLogConfig(Config):
    segment_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        description="Size at which a segment file is closed; trimming deletes whole ones.",
    )
    sync: bool = Field(
        default=True,
        description="Wait for the disk before an event counts as accepted. Without it a power cut "
        "may lose accepted events.",
    )
