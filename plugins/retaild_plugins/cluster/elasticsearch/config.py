"""Settings of the Elasticsearch service and of the target that publishes into Elasticsearch."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from retaild.api import Config
from retaild.api.http import checked_url

PORT = 9200


class ElasticsearchServiceConfig(Config):
    port: int = Field(default=PORT, ge=1, le=65535, description="Port of its HTTP interface.")
    transport_port: int = Field(
        default=9300, ge=1, le=65535, description="Port on which nodes would talk to each other."
    )
    heap_mib: int = Field(
        default=512, ge=256, le=31_000, description="Memory of the Java heap, in MiB."
    )


class ElasticsearchTargetConfig(Config):
    url: str = Field(
        default=f"http://127.0.0.1:{PORT}", description="Address of the Elasticsearch to use."
    )
    user: str = Field(default="retaild", description="Who retaild is there.")
    password: SecretStr | None = Field(
        default=None,
        description="Their password, by reference. Default: the one that retaild's own service "
        "`elasticsearch` made.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )
    prefix: str = Field(
        default="retaild", pattern=r"^[a-z0-9][a-z0-9_.-]{0,60}$",
        description="First part of the names of indices and aliases.",
    )  # fmt: skip
    analyzer: str = Field(
        default="standard", pattern="^[a-z_]+$",
        description="Elasticsearch's analyzer for product names. A full Elasticsearch of your own "
        "also has those of languages: english, german, french, ...",
    )  # fmt: skip
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=300, description="How long a bulk request may take."
    )

    _url = field_validator("url")(checked_url)
