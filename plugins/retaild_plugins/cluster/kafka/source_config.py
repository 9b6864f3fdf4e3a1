"""Settings of the source `kafka`: their descriptions are its documentation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from retaild.api import Config
from retaild.api.kafka import KafkaClientConfig
from retaild.events import FAMILIES

Family = Literal["sale", "activity", "stock", "product", "price", "customer", "external"]


class Lines(Config):
    """What a line of somebody else's is."""

    family: Family = Field(description="The event family that a line becomes.")
    columns: tuple[str, ...] = Field(
        default=(),
        description="Names of a CSV line's columns, in their order. Without them a line is a JSON "
        "object.",
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="What is between a CSV line's columns."
    )
    fields: dict[str, str] = Field(
        min_length=1,
        description="Field of the event -> column, or dotted path in the JSON object.",
    )
    constants: dict[str, str] = Field(
        default_factory=dict, description="Field of the event -> its value in every line."
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = set(FAMILIES[self.family].model_fields) - {"source"}
        for name in (*self.fields, *self.constants):
            if name not in known:
                raise ValueError(f"{self.family} has no field {name!r}")
        missing = [c for c in self.fields.values() if self.columns and c not in self.columns]
        if missing:
            raise ValueError(f"fields names the column {missing[0]!r}, which columns does not")
        return self


class KafkaSourceConfig(KafkaClientConfig):
    topic: str = Field(
        pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="The topic to read, all its partitions."
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest", description="Where to begin the first time."
    )
    lines: Lines | None = Field(
        default=None,
        description="How to read lines that are no retaild events, such as Flume ships. Without "
        "it a message is a JSON event, a list of them, or one a line, each with its `family`, as "
        "`POST /api/v1/events` takes them.",
    )
    batch_messages: int = Field(
        default=5000, ge=1, le=50_000, description="Messages that are read at a time."
    )
