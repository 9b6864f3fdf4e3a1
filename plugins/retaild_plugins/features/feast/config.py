"""Settings of the Feast backend."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from retaild.api import Config


class RedisOnline(Config):
    host: str = Field(
        default="127.0.0.1",
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Machine of the Redis to use.",
    )
    port: int = Field(default=6379, ge=1, le=65535, description="Its port.")
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
    ttl_hours: float = Field(
        default=72.0, gt=0, le=8784,
        description="What was not written anew for so long disappears.",
    )  # fmt: skip


class FeastConfig(Config):
    project: str = Field(
        default="retaild",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Name of the Feast project; it prefixes the online store's tables.",
    )
    memory_mib: int = Field(
        default=2048, ge=128, description="Memory that DuckDB may use for a join in time."
    )
    online: Literal["sqlite", "redis"] = Field(
        default="sqlite",
        description="Where features lie for reading: a file of this machine, or Redis, where other "
        "machines can read them.",
    )
    redis: RedisOnline = Field(
        default=RedisOnline(), description="The Redis to use, with online = 'redis'."
    )
