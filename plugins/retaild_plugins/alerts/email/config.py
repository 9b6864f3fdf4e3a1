"""Settings of the e-mail sink."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from retaild.api import Config

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is no plain address such as it@shop.example")
    return text


Address = Annotated[str, AfterValidator(_address)]


class EmailConfig(Config):
    host: str = Field(min_length=1, description="Name of the mail server.")
    port: int = Field(default=587, ge=1, le=65535, description="587 for STARTTLS, 465 for TLS.")
    encryption: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is protected. none: only to a server on this machine.",
    )
    username: str = Field(default="", description="To log in with; empty: without logging in.")
    password: SecretStr | None = Field(
        default=None, description='By reference: {file = "/etc/retaild/secrets/mail"}.'
    )
    sender: Address = Field(description="Address the messages come from.")
    recipients: tuple[Address, ...] = Field(
        min_length=1, max_length=50, description="Addresses they go to."
    )
    timeout_seconds: float = Field(default=10.0, gt=0, le=15, description="Wait for an answer.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.encryption == "none" and not _is_here(self.host):
            raise ValueError('encryption = "none" is only for a mail server on this machine')
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password go together")
        return self


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
