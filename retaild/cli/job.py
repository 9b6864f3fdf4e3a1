"""`retaildctl job list|run|history|show|log`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from retaild.api.errors import RetaildError
from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import NotFoundError
from retaild.cli.output import (
    ago,
    columns,
    duration,
    print_facts,
    print_json,
    print_table,
    print_tree,
)
from retaild.cli.session import Session

command = group("List and run jobs.")


@make(group=command, name="list", help="List jobs with their schedule and last run.")
def list_(session: Session) -> None:
    from retaild.runtime.control import NotRunningError
    from retaild.runtime.jobs import JOBS

    try:
        jobs = session.daemon("status")["jobs"]
    except NotRunningError:
        jobs = _configured(session)
    scheduled = {job["name"] for job in jobs}
    on_demand = [_facts(name, name) for name in JOBS if name not in scheduled]
    rows = [{**row, "summary": _summary(row["kind"])} for row in [*jobs, *on_demand]]
    for row in rows:
        row["last_run"] = row["last_run"] or _last_run(session, row["name"])
    from retaild.cli.status import JOB_COLUMNS

    columns = [*JOB_COLUMNS, ("what it does", lambda row: row["summary"])]
    session.show({"jobs": rows}, lambda: print_table(rows, columns, "There is no job."))


def _facts(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "cron": None, "every_seconds": None, "enabled": True,
            "next_run": None, "last_run": None, **more}  # fmt: skip


def _configured(session: Session) -> list[dict[str, Any]]:
    return [
        _facts(name, job.kind, cron=job.cron, every_seconds=job.every_seconds, enabled=job.enabled)
        for name, job in session.settings.job.items()
    ]


def _last_run(session: Session, job: str) -> dict[str, Any] | None:
    if not session.data.state_db.exists():
        return None
    last = next(iter(session.state.runs(job=job, limit=1)), None)
    return last and {key: last[key] for key in ("id", "state", "started", "finished")}


def _summary(kind: str) -> str:
    from retaild.runtime.jobs import JOBS

    return JOBS[kind].summary if kind in JOBS else "(no such kind)"


@make(group=command, name="run", help="Run a job now. Exit code 6: it is running already.")
@click.argument("name")
@click.option("-a", "--argument", "arguments", multiple=True, metavar="NAME=VALUE",
              help="What the job is told; may be given several times.")  # fmt: skip
@click.option("--wait/--no-wait", default=None, help="Wait for its end; default: on a terminal.")
def run(session: Session, name: str, arguments: tuple[str, ...], wait: bool | None) -> int:
    import sys

    from retaild.cli.running import run_job

    pairs = dict(_pair(text) for text in arguments)
    waits = sys.stdout.isatty() if wait is None else wait
    finished = run_job(session, name, pairs, wait=waits)
    return show_run(session, finished)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--argument")
    return name, value


def show_run(session: Session, run: dict[str, Any]) -> int:
    """Print a run; 1 if it did not succeed."""
    if session.json:
        print_json(run)
    elif run["state"] in ("queued", "running"):
        click.echo(f"Run {run['id']} of {run['job']} is {run['state']}.")
    else:
        _tell_run(run)
    return 1 if run["state"] in ("failed", "killed") else 0


def _tell_run(run: dict[str, Any]) -> None:
    facts: list[tuple[str, Any]] = [(key, run[key]) for key in ("id", "job", "state", "trigger")]
    if run["arguments"]:
        facts += [(f"argument {key}", value) for key, value in run["arguments"].items()]
    facts += [("took", _took(run)), ("error", run["error"])]
    if not run["result"]:  # which says it in full
        facts += [("said", _said({**run, "error": ""}))]
    print_facts([(name, value) for name, value in facts if value not in (None, "")])
    if run["result"]:
        click.echo()
        print_tree(run["result"])


def _took(run: Mapping[str, Any]) -> str:
    if run["started"] is None or run["finished"] is None:
        return ""
    return duration(run["finished"] - run["started"])


@make(group=command, name="history", help="List runs, newest first.")
@click.argument("name", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many rows.",
)
@click.option(
    "--state", type=click.Choice(["queued", "running", "succeeded", "failed", "killed"]),
    help="Only runs in this state.",
)  # fmt: skip
def history(session: Session, name: str | None, limit: int, state: str | None) -> None:
    runs = session.state.runs(job=name or "", state=state or "", limit=limit)
    table = [
        *columns("id job state trigger"),
        ("started", lambda row: ago(row["started"] or row["requested"])),
        ("took", _took),
        ("", _said),
    ]
    session.show({"runs": runs}, lambda: print_table(runs, table, "No job has run yet."))


def _said(run: Mapping[str, Any]) -> str:
    """What is worth a line: why it failed, what it does, what it still waits for."""
    if run["error"]:
        return str(run["error"])
    told = run["state"] == "running" or (run["state"] == "succeeded" and run["text"] != "done")
    return str(run["text"] or "") if told else ""


def _existing(session: Session, run_id: int) -> dict[str, Any]:
    run = session.state.run(run_id)
    if run is None:
        raise NotFoundError("run", run_id, "See `retaildctl job history`.")
    return run


@make(group=command, name="show", help="Show a run with its result.")
@click.argument("run_id", type=int)
def show(session: Session, run_id: int) -> None:
    run = _existing(session, run_id)
    session.show(run, lambda: _tell_run(run))


@make(group=command, name="log", help="Show what a run has said.")
@click.argument("run_id", type=int)
@click.option(
    "-n", "--lines", type=click.IntRange(1, 100_000), default=1000, show_default=True,
    help="At most so many of the last lines.",
)  # fmt: skip
def log(session: Session, run_id: int, lines: int) -> None:
    from retaild.runtime.logs import tail

    _existing(session, run_id)
    path = session.existing.job_log(run_id)
    if not path.exists():
        raise RetaildError(f"The log of run {run_id} has been cleared away or was never written.")
    said = tail(path, lines)
    session.show({"run": run_id, "lines": said}, lambda: click.echo("\n".join(said)))
