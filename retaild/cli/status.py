"""`retaildctl status`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli import exits
from retaild.cli.command import command as make
from retaild.cli.output import (
    ago,
    cell,
    duration,
    paint,
    print_facts,
    print_json,
    print_table,
    size,
    until,
)
from retaild.cli.session import Session
from retaild.runtime.control import NotRunningError


@make(help="Show how the running retaild is. Exit code 3: it is not running.")
def command(session: Session) -> int:
    try:
        status = session.daemon("status")
    except NotRunningError as error:
        if not session.json:
            raise
        print_json({"running": False, "data_dir": session.data.root, "message": error.message})
        return exits.NOT_RUNNING
    session.show({"running": True, **status}, lambda: _tell(status))
    return exits.OK


def _tell(status: dict[str, Any]) -> None:
    daemon = status["daemon"]
    facts = [
        ("retaild", daemon["state"]),
        ("version", daemon["version"]),
        ("started", ago(daemon["since"])),
        ("process", f"{daemon['pid']} ({size(daemon['rss_bytes'])})"),
        ("data", daemon["data_dir"]),
        ("config", daemon["config"]),
        ("address", status["api"]["url"]),
    ]
    print_facts(facts)
    click.echo()
    print_table(
        status["workers"],
        [
            ("worker", lambda row: row["name"]),
            ("state", lambda row: row["state"]),
            ("process", lambda row: row["pid"]),
            ("memory", lambda row: size(row["rss_bytes"])),
            ("up", lambda row: row["since"] and ago(row["since"])[:-4]),
            ("last sign", lambda row: row["beat"] and ago(row["beat"])),
            ("restarts", lambda row: row["restarts"]),
        ],
        "No worker has been started.",
    )
    figures = [(row["name"], _figures(row["figures"])) for row in status["workers"]]
    if any(text for _, text in figures):
        click.echo()
        print_facts(figures)
    _tell_errors(status["workers"])
    click.echo()
    print_table(status["jobs"], JOB_COLUMNS, "No job is configured.")
    for run in status["running"]:
        done = f"{(run['progress'] or 0) * 100:.0f} %"
        click.echo(f"Running: {run['job']} (run {run['id']}), {done} {run['text'] or ''}".rstrip())


JOB_COLUMNS = [
    ("job", lambda row: row["name"]),
    ("schedule", lambda row: schedule(row)),
    ("next run", lambda row: until(row["next_run"])),
    ("last run", lambda row: _last(row["last_run"])),
]


def schedule(row: Any) -> str:
    if not row["enabled"]:
        return "off"
    return row["cron"] or (
        f"every {duration(row['every_seconds'])}" if row["every_seconds"] else ""
    )


def _last(run: dict[str, Any] | None) -> str:
    return "" if run is None else f"{run['state']} {ago(run['finished'] or run['started'])}"


def _figures(figures: dict[str, Any] | None) -> str:
    known = {name: value for name, value in (figures or {}).items() if value not in ("", None)}
    return ", ".join(f"{name.replace('_', ' ')} {cell(value)}" for name, value in known.items())


_NOT_WELL = ("backoff", "quarantined", "disabled", "left out")


def _tell_errors(workers: list[dict[str, Any]]) -> None:
    for row in workers:
        if row["state"] in _NOT_WELL and row["last_error"]:
            held = "" if row["state"] == "backoff" else f" is {row['state']}"
            click.echo(paint(f"{row['name']}{held}: {row['last_error']}", "red"))
