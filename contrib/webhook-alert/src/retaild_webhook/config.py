"""Settings of the alert sink `webhook`: their descriptions are its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from retaild.api import Config
from retaild.api.http import checked_url


class WebhookConfig(Config):
    url: Annotated[str, AfterValidator(checked_url)] = Field(
        description="The address that messages are posted to: https, or http on this machine."
    )
    signing_secret: SecretStr | None = Field(
        default=None,
        description="Shared with the receiver: messages are signed with it (HMAC-SHA256). "
        "Written {file = ...} or {credential = ...}.",
    )
    token: SecretStr | None = Field(
        default=None, description="Sent as bearer token, for a receiver that asks for one."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )
    timeout_seconds: float = Field(
        default=10.0, gt=0, le=15, description="The receiver has to answer within this time."
    )
