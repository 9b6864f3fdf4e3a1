"""Settings of the log on Kafka and of the managed broker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retaild.api import Config
from retaild.api.kafka import PORT, KafkaClientConfig

_MIB = 1024 * 1024
#: The log's largest entry is 16 MiB; what Kafka puts around it.
MIN_MESSAGE_BYTES = 17 * _MIB


class KafkaBusConfig(KafkaClientConfig):
    topic: str = Field(
        default="retaild.log", pattern=r"^[a-zA-Z0-9._-]{1,200}$",
        description="Topic of the log. It has one partition; retaild makes it.",
    )  # fmt: skip
    replicas: int = Field(
        default=1, ge=1, le=9,
        description="Brokers that keep a copy. With three, one may be lost at any moment.",
    )  # fmt: skip
    sync: bool = Field(
        default=True,
        description="Let the broker wait for its disk before an event counts as accepted. With "
        "several replicas it may be off: a power cut seldom meets all of them.",
    )
    retention_hours: float = Field(
        default=0, ge=0,
        description="Kafka removes entries after so long, whether or not the lake has them. "
        "0: never; the job `trim` removes what the lake has and nobody needs.",
    )  # fmt: skip
    segment_mib: int = Field(
        default=64, ge=1, le=1024, description="Size of the topic's files, in MiB."
    )
    max_message_bytes: int = Field(
        default=20 * _MIB, ge=MIN_MESSAGE_BYTES, le=256 * _MIB,
        description="Largest record of the topic, in bytes.",
    )  # fmt: skip
    compression: Literal["none", "lz4", "zstd"] = Field(
        default="lz4", description="How entries are made smaller: lz4 is quick, zstd is small."
    )
    patience_seconds: float = Field(
        default=3.0, gt=0, le=60,
        description="How long an append waits for the broker before it goes to the local spool.",
    )  # fmt: skip
    spool_mib: int = Field(
        default=2048, ge=32,
        description="Room on this machine's disk for events while the broker is away, in MiB; the "
        "doors refuse more.",
    )  # fmt: skip


class KafkaServiceConfig(Config):
    port: int = Field(default=PORT, ge=1, le=65535, description="Port of the broker.")
    controller_port: int = Field(
        default=9093, ge=1, le=65535, description="Port of its controller (KRaft)."
    )
    heap_mib: int = Field(
        default=384, ge=192, le=31_000, description="Memory of the Java heap, in MiB."
    )
