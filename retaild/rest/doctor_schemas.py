"""The JSON of the doctor's routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Finding(BaseModel):
    id: str = Field(description="Check and target: what POST /doctor/fix takes.")
    check: str
    target: str = Field(description="Which of several; empty if there is only one.")
    severity: Literal["ok", "info", "warning", "error"]
    summary: str
    hint: str
    fix: str | None = Field(description="What a fix would do; null: there is none that is safe.")


class Findings(BaseModel):
    at: float = Field(description="When it was examined: seconds since the epoch (UTC).")
    findings: list[Finding]


class FixRequest(BaseModel):
    id: str = Field(max_length=4096)


class Fixed(BaseModel):
    id: str
    done: str = Field(description="What was done, or why it failed.")
    failed: bool
