"""The JSON of the alerts' routes. Times are seconds since the epoch (UTC)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Severity = Literal["info", "warning", "error", "critical"]


class Alert(BaseModel):
    id: int
    key: str = Field(description="The same each time the same thing goes wrong.")
    severity: Severity
    state: Literal["open", "acknowledged", "resolved"]
    summary: str
    hint: str = Field(description="What to do next; may be empty.")
    source: str = Field(description="What raised it.")
    group: str = Field(description="The message it is part of; empty: none yet.")
    details: dict[str, str]
    started: float
    last: float = Field(description="When it was last seen.")
    count: int = Field(description="How often it was seen.")
    acknowledged: float | None
    acknowledged_by: str | None
    resolved: float | None
    escalation: int


class Alerts(BaseModel):
    alerts: list[Alert]


class Message(BaseModel):
    id: str
    sink: str
    group: str
    action: Literal["trigger", "acknowledge", "resolve"]
    severity: Severity
    summary: str
    escalation: int
    state: Literal["pending", "sending", "delivered", "refused"]
    attempts: int
    created: float
    due: float = Field(description="When it is tried next, while it is pending.")
    finished: float | None
    error: str | None = Field(description="Why the last attempt failed.")


class AlertWithMessages(Alert):
    messages: list[Message]


class Messages(BaseModel):
    messages: list[Message]


class Sink(BaseModel):
    sink: str
    configured: bool
    delivered: int
    waiting: int
    refused: int
    last_delivered: float | None
    last_error: str | None


class Sinks(BaseModel):
    sinks: list[Sink]


class SilenceRequest(BaseModel):
    key: str = Field(default="", max_length=500, description="A key, or its first parts.")
    source: str = Field(default="", max_length=100)
    severity: Severity | Literal[""] = Field(default="", description="Up to this severity.")
    seconds: float = Field(gt=0, le=30 * 86_400, description="How long.")
    comment: str = Field(default="", max_length=500, description="Why.")


class Silence(BaseModel):
    id: int
    key: str
    source: str
    severity: str
    until: float
    created: float
    by: str
    comment: str


class Silences(BaseModel):
    silences: list[Silence]


class Silenced(BaseModel):
    id: int


class Unsilenced(BaseModel):
    id: int
