"""`retaildctl key create|list|revoke`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.output import ago, print_table, until
from retaild.cli.session import Session

command = group("Make, list and revoke API keys.")


@make(group=command, name="create", help="Make a key for a program and print it, once.")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, metavar="PERMISSION",
              help="What it may do: recommend, ingest, metrics, view, operate, decide, administer. "
              "Several times for several.")  # fmt: skip
@click.option("--days", type=click.FloatRange(min=0, min_open=True, max=3660), default=90.0,
              show_default=True, help="It ends after so long.")  # fmt: skip
@click.option("--never-ends", is_flag=True, help="It has no end.")
def create(
    session: Session, name: str, scopes: tuple[str, ...], days: float, never_ends: bool
) -> None:
    from retaild.runtime.access.keys import ApiKeys

    keys = ApiKeys(session.state)
    by = session.user
    key_id, token = keys.create(name, scopes, by, None if never_ends else days)
    made = keys.get(key_id)
    after = {field: made[field] for field in ("name", "scopes", "expires")}
    session.record("key.create", key_id, after=after)
    session.show({"key": made, "token": token}, lambda: click.echo(token))


@make(group=command, name="list", help="List the keys; their secrets are kept nowhere.")
def list_(session: Session) -> None:
    from retaild.runtime.access.keys import ApiKeys

    keys = ApiKeys(session.state).list()
    columns: list[tuple[str, Any]] = [
        ("id", lambda row: row["id"]),
        ("name", lambda row: row["name"]),
        ("scopes", lambda row: ", ".join(row["scopes"])),
        ("made by", lambda row: row["created_by"]),
        ("ends", _end),
        ("last used", lambda row: ago(row["last_used"])),
    ]
    empty = "There is none. `retaildctl key create NAME --scope PERMISSION` makes one."
    session.show({"keys": keys}, lambda: print_table(keys, columns, empty))


def _end(row: Any) -> str:
    if row["revoked"]:
        return f"revoked {ago(row['revoked'])}"
    return until(row["expires"]) if row["expires"] else "never"


@make(group=command, name="revoke", help="Let a key open nothing any more, within 5 seconds.")
@click.argument("key_id", metavar="ID")
def revoke(session: Session, key_id: str) -> None:
    from retaild.runtime.access.keys import ApiKeys

    keys = ApiKeys(session.state)
    before = keys.get(key_id)
    keys.revoke(key_id)
    was = {field: before[field] for field in ("name", "scopes", "expires")}
    session.record("key.revoke", key_id, before=was)
    session.show({"revoked": key_id}, lambda: click.echo(f"{before['name']} opens nothing now."))
