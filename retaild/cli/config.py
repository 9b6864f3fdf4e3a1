"""`retaildctl config show|history|path`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.config.settings import Settings

command = group("Show the configuration.")


@make(group=command, name="show", help="Print all settings; secrets are hidden.")
@click.argument("section", required=False)
@click.option("--active", is_flag=True, help="Those that the daemon was last started or reloaded "
              "with, instead of those in the files.")  # fmt: skip
@click.option("--number", type=int, help="Those of an earlier configuration; see `history`.")
def show(session: Session, section: str | None, active: bool, number: int | None) -> None:
    from retaild.cli.exits import NotFoundError
    from retaild.config.explain import suggestion
    from retaild.config.masking import hide
    from retaild.config.toml_text import dump

    chosen_settings = _kept(session, number) if active or number else session.settings
    settings = chosen_settings.model_dump(mode="json")
    plain: dict[str, Any] = {name: _flat(values) for name, values in settings.items()}
    if section is not None and section not in plain:
        raise NotFoundError("section", section, suggestion(section, plain))
    chosen = plain if section is None else {section: plain[section]}
    hidden = hide(chosen)
    session.show(hidden, lambda: click.echo(dump(hidden), nl=False))


def _kept(session: Session, number: int | None) -> Settings:
    from retaild.cli.exits import NotFoundError
    from retaild.config.active import ActiveStore
    from retaild.config.settings import load_settings

    store = ActiveStore(session.existing)
    path = store.path if number is None else store.file(number)
    if not path.exists():
        hint = "See `retaildctl config history`; the daemon keeps the last ten."
        raise NotFoundError("configuration", number or "in force", hint)
    return load_settings(path, session.data.root)


@make(group=command, name="history", help="List the configurations that were in force.")
def history(session: Session) -> None:
    from retaild.cli.output import iso, print_table
    from retaild.config.active import ActiveStore

    store = ActiveStore(session.existing)
    current = store.current()
    rows = [
        {**one.facts(), "active": current is not None and one.number == current.number}
        for one in store.history()
    ]
    columns = [
        ("number", lambda row: f"{row['number']}{' *' if row['active'] else ''}"),
        ("since", lambda row: iso(row["at"])),
        ("why", lambda row: row["why"]),
        ("file", lambda row: row["main"]),
        ("sha256", lambda row: row["sha256"][:12]),
    ]
    session.show(
        {"configurations": rows}, lambda: print_table(rows, columns, "None was in force yet.")
    )


@make(group=command, name="path", help="Print which files and directories are in use.")
def path(session: Session) -> None:
    from retaild.config.locate import config_files

    files = [str(file) for file in config_files(session.config_file)]
    shown = {"files": files, "data_dir": session.data.root}
    session.show(shown, lambda: click.echo("\n".join([*files, str(session.data.root)])))


def _flat(values: Any) -> Any:
    """Plugins' own settings beside the host's three, as they are written in the file."""
    if not isinstance(values, Mapping):
        return values
    if {"plugin", "settings"} <= values.keys():
        own = {key: value for key, value in values.items() if key != "settings"}
        return {**own, **values["settings"]}
    return {key: _flat(value) for key, value in values.items()}
