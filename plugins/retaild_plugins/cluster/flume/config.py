"""Settings of the managed Flume agent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from retaild.api.kafka import KafkaClientConfig


class FlumeServiceConfig(KafkaClientConfig):
    topic: str = Field(
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Topic that the lines go to; it is made if there is none. retaild reads it "
        "with a source `kafka`.",
    )
    follow: tuple[str, ...] = Field(
        default=(),
        description="Files that grow, such as logs: the path of their folder, and as its last "
        r"part a regular expression for their names: /var/log/tills/.*\.log",
    )
    folders: tuple[Path, ...] = Field(
        default=(),
        description="Folders into which whole files are moved. A file there must not change any "
        "more.",
    )
    delete_finished: bool = Field(
        default=False,
        description="Delete the files of `folders` once they are in the channel; else they are "
        "renamed to .COMPLETED.",
    )
    max_line_bytes: int = Field(
        default=65_536, ge=2048, le=1_000_000,
        description="Longer lines of files in `folders` are cut into several.",
    )  # fmt: skip
    capacity: int = Field(
        default=1_000_000, ge=10_000, le=50_000_000,
        description="Lines that the agent keeps on its disk while Kafka is away.",
    )  # fmt: skip
    heap_mib: int = Field(
        default=160, ge=96, le=31_000, description="Memory of the Java heap, in MiB."
    )

    @field_validator("follow")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            folder, _, name = pattern.rpartition("/")
            if not folder.startswith("/") or not name or any(c.isspace() for c in pattern):
                raise ValueError(rf"{pattern!r} is no pattern such as /var/log/tills/.*\.log")
            try:
                re.compile(name)
            except re.error as error:
                raise ValueError(f"{name!r} is no regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.follow and not self.folders:
            raise ValueError("state what to read: follow, folders")
        return self
