"""The JSON of the services' route. Times are seconds since the epoch (UTC)."""

from __future__ import annotations

from pydantic import BaseModel, Field

from retaild.rest.instances_schemas import Standing


class Software(BaseModel):
    name: str
    version: str
    disk_mib: int
    installed: bool = Field(description="Whether it is on the disk as this plugin pins it.")


class Service(BaseModel):
    name: str
    plugin: str
    summary: str
    state: str = Field(description="Of its process.")
    standing: Standing = Field(description="Whether it may run.")
    pid: int | None
    since: float | None
    restarts: int
    last_error: str | None
    listens: str = Field(description="Names and addresses of its ports when it last answered.")
    memory: float | None = Field(description="Bytes of all its processes.")
    memory_mib: int | None = Field(description="What is planned with, in MiB.")
    figures: dict[str, float | str] = Field(description="What it said when it was last asked.")
    software: list[Software]
    lines: list[str] = Field(description="The last of its log, while it is down.")


class LastRun(BaseModel):
    run_id: int
    job: str = Field(description="The job whose run it was: the part's own, or `refresh`.")
    state: str = Field(description="Of this part, even if the run failed elsewhere.")
    at: float = Field(description="When that run ended.")
    error: str | None
    records: dict[str, int] | None = Field(description="Of a target: what was published, per kind.")
    seconds: float | None


class Part(BaseModel):
    part: str = Field(description="Kind of plugin: source, bus, stream, batch, trainer, target ...")
    name: str
    plugin: str
    process: str = Field(description="The process that holds it; empty: jobs do.")
    state: str
    services: list[str] = Field(description="Managed services of the same engine.")
    figures: dict[str, float] = Field(
        description="Rows that wait in the log (`lag_rows`), rows a second, dead letters."
    )
    last: LastRun | None = Field(description="Of what jobs do: the newest run that has ended.")


class Services(BaseModel):
    services: list[Service]
    parts: list[Part] = Field(description="The pipeline, in the order in which events pass.")
