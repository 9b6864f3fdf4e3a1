"""`retaildctl stop`."""

from __future__ import annotations

import time

import click

from retaild.cli.command import command as make
from retaild.cli.exits import FailedError
from retaild.cli.session import Session


@make(help="Stop the running daemon in an orderly way and wait until it has ended.")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait.")
def command(session: Session, timeout: float) -> None:
    pid = session.daemon("stop")["pid"]
    was, now = {"state": "running", "pid": pid}, {"state": "stopping"}
    session.record("daemon.stop", f"process {pid}", before=was, after=now)
    until = time.monotonic() + timeout
    while session.data.socket.exists():
        if time.monotonic() > until:
            hint = f"See `retaildctl logs daemon`; process {pid}."
            raise FailedError(f"It has not ended within {timeout:g} s.", hint)
        time.sleep(0.05)
    session.show({"stopped": True, "pid": pid}, lambda: click.echo("Stopped."))
