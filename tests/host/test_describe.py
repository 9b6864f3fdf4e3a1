"""Settings in words."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config
from retaild.host.describe import settings_of


class Bounded(Config):
    """Bounds as plugins state them."""

    size: int = Field(default=1024, ge=1024, le=16 * 1024 * 1024, description="Bytes.")
    share: float = Field(default=0.5, gt=0.0, lt=0.75, description="Of all.")


def test_bounds_are_written_in_full() -> None:
    rows = {row["name"]: row["type"] for row in settings_of(Bounded)}
    assert rows["size"] == "whole number, at least 1024, at most 16777216"
    assert rows["share"].endswith(", more than 0, less than 0.75")
