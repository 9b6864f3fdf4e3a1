"""Settings of the source `mqtt`: their descriptions are its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, SecretStr, model_validator
from retaild.api import Config
from retaild.events import family

Family = Literal["sale", "activity", "stock", "product", "price", "customer", "external"]
FAMILIES: tuple[str, ...] = get_args(Family)

#: Fields that nobody maps, and fields with a value even if nothing is mapped to them.
_OWN = frozenset({"event_id", "source"})
_FILLED = frozenset({"store", "currency"})


def _topic_filter(text: str) -> str:
    """MQTT 5.0, 4.7: `+` stands for a whole segment, `#` for all that follow."""
    segments = text.split("/")
    wild = [s for s in segments if ("+" in s and s != "+") or ("#" in s and s != "#")]
    if not text or "\0" in text or wild or "#" in segments[:-1]:
        raise ValueError(f"{text!r} is no topic filter; write one such as till/+/sales or shop/#")
    return text


class FieldRule(Config):
    """Where a field's value comes from, if not from the payload."""

    topic: int | None = Field(
        default=None, ge=1, description="This segment of the topic; the first is 1."
    )
    constant: str | None = Field(default=None, description="The same value in every message.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.topic is None) == (self.constant is None):
            raise ValueError("state exactly one of topic, constant")
        return self


class Route(Config):
    """What the messages of some topics are."""

    topic: Annotated[str, AfterValidator(_topic_filter)] = Field(
        description="Topic filter: till/+/sales, sensors/#."
    )
    family: Family = Field(description="The event family that a message becomes.")
    each: str = Field(
        default="",
        description="Dotted path of a list in the payload: each item becomes an event. A field is "
        "looked for in the item first, then in the whole payload.",
    )
    id: str = Field(
        default="",
        description="Dotted path of what makes an event unique. Without it, events with equal "
        "fields are one event.",
    )
    fields: dict[str, str | FieldRule] = Field(
        description="Field of the event = dotted path in the payload, {topic = 2} or "
        "{constant = '...'}."
    )

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        model = family(self.family).model_fields
        known = [name for name in model if name not in _OWN]
        strange = [name for name in self.fields if name not in known]
        if strange:
            raise ValueError(
                f"fields: a {self.family} has no {strange[0]!r} to fill; it has {', '.join(known)}"
            )
        missing = [
            name
            for name in known
            if model[name].is_required() and name not in self.fields and name not in _FILLED
        ]
        if missing:
            raise ValueError(f"fields: say where {', '.join(missing)} come from")
        return self


class MqttConfig(Config):
    """A broker, and what is read there."""

    host: str = Field(min_length=1, description="The broker.")
    port: int = Field(default=0, ge=0, le=65_535, description="0: 8883 with TLS, else 1883.")
    tls: bool = Field(default=False, description="Encrypt, and check the broker's certificate.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )
    username: str = Field(default="", description="Who retaild is to the broker.")
    password: SecretStr | None = Field(
        default=None, description="Written {file = ...} or {credential = ...}."
    )
    client_id: str = Field(
        default="",
        max_length=128,
        description="Names the session that the broker keeps. Default: retaild-STORE-INSTANCE.",
    )
    session_hours: int = Field(
        default=168,
        ge=1,
        le=100_000,
        description="So long the broker keeps messages while retaild is away.",
    )
    keepalive_seconds: int = Field(default=60, ge=5, le=3600, description="Between signs of life.")
    timeout_seconds: float = Field(
        default=10.0, gt=0, le=60, description="The broker has to answer within this time."
    )
    max_unconfirmed: int = Field(
        default=2000,
        ge=1,
        le=10_000,
        description="The broker sends no further message while so many are not on disk.",
    )
    batch_messages: int = Field(
        default=1000, ge=1, le=10_000, description="At most so many messages are read at once."
    )
    max_payload_bytes: int = Field(
        default=256 * 1024, ge=64, le=4 * 1024 * 1024, description="A larger message is refused."
    )
    routes: tuple[Route, ...] = Field(
        min_length=1, description="Topics and what they mean; the first that fits counts."
    )

    @model_validator(mode="after")
    def _safe_login(self) -> Self:
        if self.password is not None and not self.username:
            raise ValueError("a password needs a username")
        if self.ca_file is not None and not self.tls:
            raise ValueError("ca_file needs tls = true")
        return self
