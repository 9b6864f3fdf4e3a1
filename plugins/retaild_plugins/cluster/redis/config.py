"""Settings of the Redis service and of the target that publishes into Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from retaild.api import Config

PORT = 6379


class RedisServiceConfig(Config):
    port: int = Field(default=PORT, ge=1, le=65535, description="Port, on 127.0.0.1.")
    memory_mib: int = Field(
        default=256, ge=16, le=1_048_576, description="Memory for its data, in MiB."
    )
    when_full: Literal["noeviction", "volatile-ttl", "volatile-lru"] = Field(
        default="volatile-ttl",
        description="What it does when that is used up: remove what ends soonest (volatile-ttl), "
        "what was read longest ago (volatile-lru), or refuse to write (noeviction).",
    )


class RedisTargetConfig(Config):
    host: str = Field(default="127.0.0.1", min_length=1, description="Machine of the Redis to use.")
    port: int = Field(default=PORT, ge=1, le=65535, description="Its port.")
    database: int = Field(default=0, ge=0, le=15, description="Number of its database.")
    user: str = Field(default="default", description="Who retaild is there.")
    password: SecretStr | None = Field(
        default=None,
        description="Their password, by reference. Default: the one that retaild's own service "
        "`redis` made.",
    )
    tls: bool = Field(default=False, description="Speak TLS.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )
    prefix: str = Field(
        default="retaild", pattern=r"^[A-Za-z0-9_.-]{1,60}$", description="First part of all keys."
    )
    ttl_hours: float = Field(
        default=72.0, gt=0, le=8784,
        description="Records that were not published anew for so long disappear.",
    )  # fmt: skip
