"""Settings of the quality gate."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class QualityConfig(Config):
    only_for_metric: str = Field(
        default="",
        description="Judge only models whose primary metric has this name; others pass unjudged. "
        "Empty: judge all.",
    )
    champion_margin: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="By how much of the champion's figure the new one must be better (0.005: half "
        "a percent), so that chance alone does not change the champion.",
    )
    baseline_margin: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="By how much of its figure every plain baseline must be beaten.",
    )
    minimum: dict[str, float] = Field(
        default={},
        description="Metric and the least it may be, such as the number of customers it was "
        "measured on. A metric that was not measured fails.",
    )
    maximum: dict[str, float] = Field(
        default={},
        description="Metric and the most it may be, such as milliseconds for an answer. A metric "
        "that was not measured fails.",
    )
    maximum_mib: float | None = Field(
        default=None, gt=0, description="The most that the model's files may hold."
    )
