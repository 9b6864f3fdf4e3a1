"""`retaildctl profile list|show|apply`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from retaild.api.errors import RetaildError
from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.difference import show_changes
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.runtime.profiles import Move

command = group("Move a configuration and its data to another set of engines.")


class RunningError(RetaildError):
    key = "profile.running"

    def __init__(self) -> None:
        super().__init__(
            "retaild is running; the log cannot be changed under it.",
            hint="Stop it first: `retaildctl stop`.",
        )


@make(group=command, name="list", help="List the profiles.")
def list_(session: Session) -> None:
    from retaild.runtime.profiles import names

    found = names()
    session.show({"profiles": found}, lambda: click.echo("\n".join(found)))


@make(group=command, name="show", help="Print the settings of a profile.")
@click.argument("name")
def show(session: Session, name: str) -> None:
    from retaild.runtime.profiles import text_of

    text = text_of(name)
    session.show({"name": name, "settings": text}, lambda: click.echo(text, nl=False))


@make(
    group=command, name="apply",
    help="Write the settings of a profile beside the configuration, after what the present log "
    "holds was carried into the lake. The lake stays as it is: nothing is imported again.",
)  # fmt: skip
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def apply(session: Session, name: str, yes: bool) -> None:
    from retaild.runtime import profiles

    if session.is_running():
        raise RunningError
    move = profiles.plan(name, session.config_file, session.data_option)
    changes = _changes(move)
    if not session.json:
        show_changes(changes)
    done: dict[str, Any] = {"profile": name, "file": str(move.file), "changes": changes}
    if not yes and not session.json:
        click.confirm("Apply?", abort=True)
    if move.changes_log:
        tell = click.echo if not session.json else (lambda _line: None)
        end = profiles.carry_over(session.context(), tell)
        done |= {"log_offset": end.offset, "log_rows": end.rows}
    kept = profiles.write(move)
    done |= {"kept": str(kept)} if kept else {}
    was, now = ({c["path"]: c[when] for c in changes} for when in ("before", "after"))
    after = {key: value for key, value in done.items() if key != "changes"}
    session.record(
        "profile.apply", name, before={"settings": was}, after={**after, "settings": now}
    )
    session.show(done, lambda: _tell(done))


def _changes(move: Move) -> list[dict[str, Any]]:
    from retaild.config.diff import differences

    found = [asdict(c) for c in differences(move.before, move.after, *move.documents)]
    there = str(move.main.parent)
    return [{**one, "file": one["file"].replace(str(move.scratch), there, 1)} for one in found]


def _tell(done: dict[str, Any]) -> None:
    click.echo(f"Wrote {done['file']}")
    if "kept" in done:
        click.echo(f"What was there is in {done['kept']}")
    if "log_offset" in done:
        click.echo(
            f"The lake has all {done['log_rows']} rows of the log; the new one begins there."
        )
    click.echo("Next: `retaildctl service install`, `retaildctl check`, `retaildctl run`.")
