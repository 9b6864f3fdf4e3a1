"""`retaildctl reload`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from retaild.cli import exits
from retaild.cli.command import command as make
from retaild.cli.exits import FailedError
from retaild.cli.session import Session

#: Pause between two looks at the reload's progress.
_POLL_SECONDS = 0.1


@make(
    help="Let the running daemon take over the changed configuration, or say why not. Exit code 4: "
    "it has faults and nothing was touched; 1: it did not work and all is as before."
)
@click.option("--wait/--no-wait", default=True, help="Wait until it is done (default).")
def command(session: Session, wait: bool) -> int:
    reload = session.daemon("reload", by=session.user, via="command")["reload"]
    if wait:
        reload = _watch(session, reload)
    session.show({"reload": reload}, lambda: _tell(reload))
    return _code(reload)


def _watch(session: Session, reload: dict[str, Any]) -> dict[str, Any]:
    told = 0
    while True:
        found = session.daemon("reload-status")["reload"]
        if found is None or found["id"] != reload["id"]:
            hint = "See `retaildctl logs daemon`."
            raise FailedError("The daemon was started again meanwhile.", hint)
        if sys.stderr.isatty() and not session.json:
            for _, step in found["steps"][told:]:
                click.echo(f"  {step}", err=True)
            told = len(found["steps"])
        if found["state"] != "running":
            return dict(found)
        time.sleep(_POLL_SECONDS)


def _tell(reload: dict[str, Any]) -> None:
    from retaild.cli.difference import show_changes, show_faults, show_touched

    show_faults(reload["faults"])
    show_changes(reload["changes"])
    show_touched(reload["touched"], done=reload["state"] == "done")
    state, seconds = reload["state"], reload["seconds"]
    if state == "done":
        click.echo(f"Configuration {reload['number']} is in force after {seconds:.1f} s.")
    elif state == "unchanged":
        click.echo("Nothing has changed.")
    elif state == "running":
        click.echo(f"Under way: {reload['step']}.")
    else:
        click.echo({
            "refused": "Refused; nothing was touched.",
            "returned": f"Taken back after {seconds:.1f} s; everything is as it was before.",
            "failed": "It failed, and not everything could be taken back.",
        }[state])  # fmt: skip
        if not any(fault["severity"] == "error" for fault in reload["faults"]):
            click.echo(reload["error"])
        for line in reload["log"]:
            click.echo(f"    {line}")
        if reload["hint"]:
            click.echo(f"  {reload['hint']}")


def _code(reload: dict[str, Any]) -> int:
    if reload["state"] in ("done", "unchanged", "running"):
        return exits.OK
    faults = any(fault["severity"] == "error" for fault in reload["faults"])
    return exits.FAULTS if faults else exits.FAILURE
