"""Settings of the Flink service and of the stream processor on Flink."""

from __future__ import annotations

from pydantic import Field, field_validator

from retaild.api import Config
from retaild.api.http import checked_url

PORT = 8081


class FlinkServiceConfig(Config):
    port: int = Field(
        default=PORT, ge=1, le=65535, description="Port of its REST interface and pages."
    )
    rpc_port: int = Field(
        default=6123, ge=1, le=65535, description="Port on which its own processes find each other."
    )
    jobmanager_mib: int = Field(
        default=576, ge=448, le=31_000, description="Memory of the JobManager's process, in MiB."
    )
    taskmanager_mib: int = Field(
        default=1024, ge=768, le=120_000,
        description="Memory of the TaskManager's process and of the Python processes that it "
        "starts, in MiB.",
    )  # fmt: skip
    slots: int = Field(default=1, ge=1, le=64, description="Tasks that run at the same time.")


class FlinkStreamConfig(Config):
    url: str = Field(
        default=f"http://127.0.0.1:{PORT}",
        description="REST address of the Flink to use. It must see this machine's files.",
    )
    batch_rows: int = Field(
        default=262_144, ge=1, le=1_048_576,
        description="Rows that are written into the lake at once, about, when there is a backlog. "
        "More is faster and takes more memory: about 1 KiB a row.",
    )  # fmt: skip
    checkpoint_seconds: float = Field(
        default=1.0, ge=0.1, le=600,
        description="How often Flink hands over what it has read: events are in the lake about "
        "so long later.",
    )  # fmt: skip
    entries: int = Field(
        default=8, ge=1, le=1000,
        description="Log entries that are decoded at once at most. An entry of an import may have "
        "16 MiB, all of which lie in the TaskManager's memory.",
    )  # fmt: skip
    submit_seconds: float = Field(
        default=120.0, ge=10, le=900, description="How long handing the job to Flink may take."
    )

    _url = field_validator("url")(checked_url)
