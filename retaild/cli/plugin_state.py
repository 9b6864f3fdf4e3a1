"""`retaildctl plugin resume|enable|disable|quarantine`: through the daemon, or without one."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.session import Session
from retaild.runtime.control import NotRunningError

_HELP = {
    "resume": "Let a component out of quarantine; it goes on where it stopped.",
    "enable": "Let a disabled component run again; it goes on where it stopped.",
    "disable": "Stop a component until it is enabled, also over restarts.",
    "quarantine": "Stop a component for an examination; others hear of it by an alert.",
}
_DONE = {
    "resume": "is out of quarantine", "enable": "is enabled", "disable": "is disabled",
    "quarantine": "is in quarantine",
}  # fmt: skip


def _make(action: str) -> click.Command:
    @make(name=action, help=_HELP[action])
    @click.argument("kind", type=click.Choice(["source", "alert", "identity", "service", "stream"]))
    @click.argument("name")
    @click.option("--reason", default="", help="Why, for others.")
    def act(session: Session, kind: str, name: str, reason: str) -> None:
        done = ask(session, action, kind, name, reason)
        session.show(done, lambda: click.echo(f"{kind.capitalize()} {name} {_DONE[action]}."))

    return act


def ask(session: Session, action: str, kind: str, name: str, reason: str) -> dict[str, Any]:
    """Change the standing of an instance; what it is then."""
    who = session.user
    try:
        return session.daemon(f"{action}-instance", kind=kind, name=name, reason=reason, by=who)
    except NotRunningError:
        from retaild.daemon.standing import change, require
        from retaild.runtime.instances import InstanceStore

        require(session.settings, kind, name)
        store = InstanceStore(session.state)
        held = change(store, action, kind, name, who, "command", reason)
        return {"kind": kind, "name": name, "state": held.standing, "reason": held.reason}


resume = _make("resume")
enable = _make("enable")
disable = _make("disable")
quarantine = _make("quarantine")
