"""Jobs and their runs. Running one is asked of the daemon: it sees that none runs twice."""

from __future__ import annotations

from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime import control, logs
from retaild.runtime.admin.errors import UnknownRunError
from retaild.runtime.jobs import JOBS
from retaild.runtime.state import State


def jobs(data: DataDir, settings: Settings, state: State) -> list[dict[str, Any]]:
    """Configured jobs and those that may be run by hand; next times while the daemon runs."""
    due = _next_runs(data)
    latest: dict[str, dict[str, Any]] = {}
    for run in state.runs(limit=500):
        latest.setdefault(run["job"], run)
    names = [*settings.job, *(name for name in JOBS if name not in settings.job)]
    return [_job(name, settings, due.get(name), latest.get(name)) for name in names]


def _job(
    name: str, settings: Settings, next_run: float | None, last: dict[str, Any] | None
) -> dict[str, Any]:
    job = settings.job.get(name)
    kind = job.kind if job else name
    return {
        "name": name,
        "kind": kind,
        "summary": JOBS[kind].summary if kind in JOBS else "",
        "schedule": _schedule(job),
        "next_run": next_run,
        "enabled": job.enabled if job else False,
        "arguments": [
            {"name": argument, "description": text} for argument, text in JOBS[kind].arguments
        ]
        if kind in JOBS
        else [],
        "last_run": last,
    }


def _schedule(job: Any) -> str:
    if job is None:
        return "by hand"
    if job.cron:
        return f"cron {job.cron}"
    return f"every {job.every_seconds} s" if job.every_seconds else "by hand"


def _next_runs(data: DataDir) -> dict[str, float | None]:
    try:
        facts = control.request(data, "status", timeout=1.0)
    except RetaildError:
        return {}
    return {job["name"]: job["next_run"] for job in facts.get("jobs", [])}


def run_job(data: DataDir, name: str, arguments: dict[str, str]) -> int:
    """Ask the daemon to run a job; the run's id. Raises NotRunningError, RefusedError."""
    answer = control.request(data, "run-job", job=name, arguments=arguments, trigger="person")
    return int(answer["run_id"])


def run(state: State, run_id: int) -> dict[str, Any]:
    """Raises UnknownRunError."""
    found = state.run(run_id)
    if found is None:
        raise UnknownRunError(run_id)
    return found


def run_log(data: DataDir, state: State, run_id: int, lines: int) -> list[str]:
    """The last lines of a run's log. Raises UnknownRunError."""
    run(state, run_id)
    return logs.tail(data.job_log(run_id), lines)
