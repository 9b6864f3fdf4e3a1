"""Settings of the Hive Metastore."""

from __future__ import annotations

from pydantic import Field, SecretStr, model_validator

from retaild.api import Config


class HiveServiceConfig(Config):
    port: int = Field(default=9083, ge=1, le=65535, description="Port of its Thrift interface.")
    heap_mib: int = Field(
        default=256, ge=128, le=8192, description="Memory of the Java heap, in MiB."
    )
    look_seconds: int = Field(
        default=10, ge=1, le=3600,
        description="How often it looks for new tables of the lake, in seconds.",
    )  # fmt: skip
    postgres: str = Field(
        default="", pattern=r"^([\w.-]+:\d+/\w+)?$",
        description="Where it keeps what it knows: host:port/database of a PostgreSQL. Left out: "
        "files in its own directory (Derby).",
    )  # fmt: skip
    postgres_user: str = Field(default="hive", min_length=1, description="Who it is there.")
    postgres_password: SecretStr | None = Field(
        default=None, description="Their password, by reference."
    )

    @model_validator(mode="after")
    def _password(self) -> HiveServiceConfig:
        if self.postgres and self.postgres_password is None:
            raise ValueError("postgres needs postgres_password")
        return self
