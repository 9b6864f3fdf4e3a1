"""The JSON of the configuration's routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Configuration(BaseModel):
    number: int = Field(description="Counts up with each start and each reload.")
    at: float = Field(description="In force since (seconds since the epoch, UTC).")
    why: str
    by: str
    main: str | None = Field(description="The file it was read from.")
    sha256: str


class Setting(BaseModel):
    path: str
    value: str = Field(description="As in JSON; secrets are hidden.")
    file: str = Field(description="Where it was set; empty: a default.")
    line: int


class FullConfiguration(Configuration):
    settings: list[Setting]


class History(BaseModel):
    configurations: list[Configuration] = Field(description="Newest first.")


class Fault(BaseModel):
    file: str
    line: int
    path: str
    message: str
    hint: str
    severity: Literal["error", "warning"]


class Change(BaseModel):
    path: str
    kind: Literal["added", "removed", "changed"]
    before: str | None
    after: str | None
    file: str
    line: int


class Touched(BaseModel):
    """Names of processes."""

    started: list[str]
    stopped: list[str]
    replaced: list[str]
    untouched: list[str]


class Diff(BaseModel):
    faults: list[Fault] = Field(description="With an error among them a reload is refused.")
    changes: list[Change]
    touched: Touched | None
    active: Configuration


class Reload(BaseModel):
    id: int
    by: str
    via: str
    state: Literal["running", "unchanged", "done", "refused", "returned", "failed"] = Field(
        description="refused: nothing was touched; returned: something did not work, and "
        "everything is as it was before; failed: and could not be taken back."
    )
    step: str = Field(description="What is being done.")
    steps: list[tuple[float, str]] = Field(description="Seconds since the start, and what began.")
    started: float
    finished: float | None
    seconds: float
    number: int | None = Field(description="Of the configuration that is in force by it.")
    error: str
    hint: str
    log: list[str] = Field(description="The last lines of what did not work.")
    faults: list[Fault]
    changes: list[Change]
    touched: Touched | None


class LastReload(BaseModel):
    reload: Reload | None = Field(description="None: none since the daemon was started.")
