"""Settings of the PagerDuty sink."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from retaild.api import Config
from retaild.api.http import checked_url


class PagerDutyConfig(Config):
    routing_key: SecretStr = Field(
        description="Integration key of the PagerDuty service (32 characters), by reference: "
        '{file = "/etc/retaild/secrets/pagerduty"}.'
    )
    url: str = Field(
        default="https://events.pagerduty.com/v2/enqueue",
        description="Where events go; https://events.eu.pagerduty.com/v2/enqueue in the EU.",
    )
    timeout_seconds: float = Field(default=10.0, gt=0, le=15, description="Wait for an answer.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )

    @field_validator("routing_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) != 32:
            raise ValueError("an integration key has 32 characters")
        return key

    _url = field_validator("url")(checked_url)
