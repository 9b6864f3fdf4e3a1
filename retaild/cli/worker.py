"""`retaildctl worker list|restart`."""

from __future__ import annotations

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.output import ago, print_table
from retaild.cli.session import Session

command = group("List and restart workers.")


@make(group=command, name="list", help="List the workers with their figures.")
def list_(session: Session) -> None:
    workers = session.daemon("status")["workers"]
    columns = [
        ("worker", lambda row: row["name"]),
        ("state", lambda row: row["state"]),
        ("process", lambda row: row["pid"]),
        ("up", lambda row: ago(row["since"])[:-4]),
        ("last sign", lambda row: ago(row["beat"])),
        ("restarts", lambda row: row["restarts"]),
        ("last error", lambda row: row["last_error"]),
    ]
    session.show({"workers": workers}, lambda: print_table(workers, columns, "There is none."))


@make(group=command, name="restart", help="End a worker in an orderly way and start it again.")
@click.argument("name")
def restart(session: Session, name: str) -> None:
    restart_worker(session, name)
    session.show({"worker": name, "restarting": True}, lambda: click.echo(f"{name} restarts."))


def restart_worker(session: Session, name: str) -> None:
    """Ask the daemon for it, and write it down. Raises what the daemon refuses."""
    session.daemon("ping")  # where none runs there is no state to look into, either
    was = next((row for row in session.state.workers() if row["name"] == name), None)
    session.daemon("restart-worker", worker=name)
    was = was or {"state": "not started", "pid": None}
    before = {key: was[key] for key in ("state", "pid")}
    session.record("worker.restart", name, before=before, after={"restart": "asked for"})
