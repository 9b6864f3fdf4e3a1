"""The JSON of the instances' routes. Times are seconds since the epoch (UTC)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Standing = Literal["enabled", "disabled", "quarantined"]


class Failure(BaseModel):
    at: float
    reason: str


class Instance(BaseModel):
    kind: str
    name: str
    process: str = Field(description="Its name among the workers and logs.")
    plugin: str
    standing: Standing = Field(description="Whether it may run.")
    reason: str = Field(description="Why it may not; empty where it may.")
    by: str = Field(description="Who decided that last.")
    since: float | None
    cause: Literal["", "config", "failures", "person"]
    lines: list[str] = Field(description="The last of its log when it was put into quarantine.")
    state: str = Field(description="Of its process.")
    alive: bool
    pid: int | None
    started: float | None
    restarts: int
    memory: int | None = Field(description="Bytes.")
    last_error: str
    failures: list[Failure] = Field(description="Of the last week, newest first.")
    log: list[str] = Field(description="The last lines of its log.")


class Instances(BaseModel):
    instances: list[Instance]


class Why(BaseModel):
    reason: str = Field("", max_length=500, description="For others.")


class Changed(BaseModel):
    kind: str
    name: str
    state: Standing
    reason: str
