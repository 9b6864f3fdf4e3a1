"""The JSON of the admin routes. Times are seconds since the epoch (UTC) by the machine's clock."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Open(BaseModel):
    """May grow with the version."""

    model_config = ConfigDict(extra="allow")


class Worker(Open):
    name: str
    kind: str | None
    pid: int | None
    state: str | None
    since: float | None
    beat: float | None
    restarts: int | None
    last_error: str | None
    figures: dict[str, Any]
    alive: bool


class Workers(BaseModel):
    workers: list[Worker]


class Notice(BaseModel):
    level: str = Field(description="bad, warn or info")
    text: str
    href: str


class Sample(BaseModel):
    at: float
    events: float = Field(description="Rows into the log a second.")
    lag: float = Field(description="Rows of the log that are not in the lake.")
    requests: float = Field(description="Requests a second.")


class Status(BaseModel):
    ready: bool
    reason: str
    version: str
    workers: list[Worker]
    notices: list[Notice]
    samples: list[Sample]
    figures: dict[str, Any]


class Plugin(BaseModel):
    name: str
    kind: str
    summary: str
    version: str
    state: str
    instances: list[str]
    fault: str | None


class Plugins(BaseModel):
    plugins: list[Plugin]


class Source(BaseModel):
    instance: str
    plugin: str
    state: str
    accepted: int
    dead: int
    refused_cards: int
    last_event: float | None
    last_error: str | None
    position: dict[str, Any] | None


class Sources(BaseModel):
    sources: list[Source]


class Run(Open):
    id: int
    job: str
    kind: str
    state: str
    trigger: str
    requested: float | None
    started: float | None
    finished: float | None
    progress: float | None
    text: str | None
    error: str | None
    arguments: dict[str, Any]
    result: Any = None


class Runs(BaseModel):
    runs: list[Run]


class Argument(BaseModel):
    name: str
    description: str


class Job(BaseModel):
    name: str
    kind: str
    summary: str
    schedule: str
    next_run: float | None
    enabled: bool
    arguments: list[Argument]
    last_run: Run | None


class Jobs(BaseModel):
    jobs: list[Job]


class RunRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    arguments: dict[str, str] = Field(default={}, max_length=20)


class RunAccepted(BaseModel):
    run_id: int


class Lines(BaseModel):
    lines: list[str]


class ModelVersion(Open):
    version: int
    role: str = Field(description="champion, challenger or empty")
    created: float
    run_id: str
    metrics: dict[str, float]
    data_versions: dict[str, int]
    outcome: str


class Model(BaseModel):
    name: str
    produces: str
    primary_metric: str
    greater_is_better: bool
    versions: list[ModelVersion]
    baselines: dict[str, dict[str, float]]
    events: list[dict[str, Any]]


class Models(BaseModel):
    models: list[Model]


class Promote(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1)
    reason: str = Field(default="Chosen by a person.", max_length=500)


class Rollback(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="Chosen by a person.", max_length=500)


class DeadLetter(BaseModel):
    event_id: str
    event_time: str
    source: str
    target: str
    place: str
    reason_key: str
    reason: str
    format: str
    replayed_at: float | None
    outcome: str | None


class DeadLetterDetail(DeadLetter):
    raw: str = Field(description="The refused bytes in base64, card numbers masked.")


class DeadLetters(BaseModel):
    dead_letters: list[DeadLetter]
    total: int
    reasons: dict[str, int]
    sources: list[str]


class ReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    event_ids: list[str] | None = Field(
        default=None, max_length=10_000, description="Left out: all that were not accepted yet."
    )


class Replayed(BaseModel):
    accepted: int
    refused: int
    outcomes: dict[str, str] = Field(description="By dead letter: accepted, or why not.")


class QualityCheck(BaseModel):
    at: float
    table: str
    check: str
    passed: bool
    value: float | None
    detail: str


class Quality(BaseModel):
    checks: list[QualityCheck]


class LakeTable(BaseModel):
    name: str
    rows: int | None
    files: int | None
    bytes: int | None
    version: int
    updated: float | None


class LakeTables(BaseModel):
    tables: list[LakeTable]


class LogLine(BaseModel):
    time: str | None
    level: str
    text: str


class Log(BaseModel):
    files: list[str]
    lines: list[LogLine]


class Live(BaseModel):
    status: str


class Ready(BaseModel):
    status: str
    reason: str
    model_version: int | None
    customers: int
    products: int
    lag_entries: int
