"""`retaildctl config show|path`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.session import Session

command = group("Show the configuration.")

#: Settings named like this are hidden wherever they stand, in a plugin we do not know too.
_SECRET_WORDS = ("password", "secret", "token", "api_key", "apikey", "credential", "passphrase")
_HIDDEN = "(hidden)"


@make(group=command, name="show", help="Print all settings in force; secrets are hidden.")
@click.argument("section", required=False)
def show(session: Session, section: str | None) -> None:
    from retaild.cli.exits import NotFoundError
    from retaild.config.explain import suggestion
    from retaild.config.toml_text import dump

    settings = session.settings.model_dump(mode="json")
    plain: dict[str, Any] = {name: _flat(values) for name, values in settings.items()}
    if section is not None and section not in plain:
        raise NotFoundError("section", section, suggestion(section, plain))
    chosen = plain if section is None else {section: plain[section]}
    hidden = hide(chosen)
    session.show(hidden, lambda: click.echo(dump(hidden), nl=False))


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


def hide(value: Any, name: str = "") -> Any:
    """A reference to a secret may be seen (`{file = ...}`), a secret may not."""
    if isinstance(value, Mapping):
        reference = len(value) == 1 and next(iter(value)) in ("file", "credential")
        return dict(value) if reference else {key: hide(v, key) for key, v in value.items()}
    if any(word in name.lower() for word in _SECRET_WORDS) and value not in (None, ""):
        return _HIDDEN
    return [hide(item, name) for item in value] if isinstance(value, list) else value
