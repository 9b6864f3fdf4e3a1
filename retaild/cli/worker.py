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
    session.daemon("restart-worker", worker=name)
    session.record("worker.restart", name)
    session.show({"worker": name, "restarting": True}, lambda: click.echo(f"{name} restarts."))
