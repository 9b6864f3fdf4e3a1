"""`retaildctl source list|show|reset`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import NotFoundError
from retaild.cli.output import ago, print_facts, print_table
from retaild.cli.session import Session

command = group("Look after the sources of events.")


def _rows(session: Session) -> list[dict[str, Any]]:
    """Configured sources with what they took in, and doors that are not configured (imports)."""
    configured = {
        name: {
            "plugin": instance.plugin,
            "startup": instance.startup,
            "settings": instance.settings,
        }
        for name, instance in session.settings.source.items()
    }
    known = session.state.sources() if session.data.state_db.exists() else []
    counted = {row["instance"]: row for row in known}
    return [
        {
            "name": name,
            "configured": name in configured,
            "plugin": configured.get(name, {}).get("plugin"),
            **{
                key: counted.get(name, {}).get(key, default)
                for key, default in (("accepted", 0), ("dead", 0), ("refused_cards", 0),
                                     ("last_event", None), ("last_error", None),
                                     ("position", None))
            },
            "settings": configured.get(name, {}).get("settings", {}),
        }
        for name in sorted({*configured, *counted})
    ]  # fmt: skip


@make(group=command, name="list", help="List sources with what they took in and refused.")
def list_(session: Session) -> None:
    from retaild.config.masking import hide

    rows = [{**row, "settings": hide(row["settings"])} for row in _rows(session)]
    session.show({"sources": rows}, lambda: _tell(rows))


def _tell(rows: list[dict[str, Any]]) -> None:
    print_table(
        rows,
        [
            ("source", lambda row: row["name"]),
            ("plugin", lambda row: row["plugin"] or ("" if row["configured"] else "(door)")),
            ("accepted", lambda row: row["accepted"]),
            ("dead letters", lambda row: row["dead"]),
            ("card numbers", lambda row: row["refused_cards"]),
            ("last event", lambda row: ago(row["last_event"])),
            ("last error", lambda row: row["last_error"]),
        ],
        "No source is configured. `retaildctl import FILE` takes in a file without one.",
    )


def _one(session: Session, name: str) -> dict[str, Any]:
    rows = {row["name"]: row for row in _rows(session)}
    if name not in rows:
        raise NotFoundError("source", name, f"Known: {', '.join(rows) or 'none'}.")
    return rows[name]


@make(group=command, name="show", help="Show a source: its settings, counts and position.")
@click.argument("name")
def show(session: Session, name: str) -> None:
    from retaild.config.masking import hide

    row = _one(session, name)
    row = {**row, "settings": hide(row["settings"])}
    facts = [(key, value) for key, value in row.items() if key not in ("settings", "last_event")]
    facts += [("last event", ago(row["last_event"]))]
    facts += [(f"settings.{key}", value) for key, value in row["settings"].items()]
    session.show(row, lambda: print_facts(facts))


#: Longest that a source may take to end, with what the daemon waits beside.
_RESET_SECONDS = 30.0


@make(group=command, name="reset", help="Read a source again from its beginning.")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(session: Session, name: str, yes: bool) -> None:
    _one(session, name)
    if not yes:
        question = f"Read {name} again from its beginning? Events already taken in stay single."
        click.confirm(question, abort=True)
    restarted = session.is_running()
    if restarted:  # its process holds the old position in memory
        answer = session.daemon("reset-source", source=name, timeout=_RESET_SECONDS)
        before = answer["before"]
    else:
        before = session.state.forget_source_position(name)
    session.record("source.reset", name, before={"position": before}, after={"position": None})
    done = {"source": name, "reset": True, "restarted": restarted}
    session.show(done, lambda: click.echo(f"{name} will be read from its beginning."))
