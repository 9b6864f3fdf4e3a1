"""Settings of the Opsgenie sink."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from retaild.api import Config
from retaild.api.http import checked_url


class OpsgenieConfig(Config):
    api_key: SecretStr = Field(
        min_length=1,
        description="Key of an API integration, by reference: "
        '{file = "/etc/retaild/secrets/opsgenie"}.',
    )
    url: str = Field(
        default="https://api.opsgenie.com",
        description="The API's address; https://api.eu.opsgenie.com in the EU.",
    )
    teams: tuple[str, ...] = Field(
        default=(), max_length=50, description="Teams to notify; empty: the integration's own."
    )
    tags: tuple[str, ...] = Field(
        default=(), max_length=16, description="Added to every alert, at most 50 characters each."
    )
    timeout_seconds: float = Field(default=10.0, gt=0, le=15, description="Wait for an answer.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )

    _url = field_validator("url")(checked_url)

    @field_validator("api_key")
    @classmethod
    def _one_line(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("a key is one word of plain characters")
        return key
