"""`retaildctl plugin new`: writes a plugin project that passes its own tests as it is."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

from retaild.cli.command import command as make
from retaild.cli.exits import FailedError
from retaild.cli.plugin_new.render import KINDS, write_project
from retaild.cli.session import Session

#: Small letters, digits and single hyphens: good as a distribution's and as a plugin's name.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MAX_NAME = 30


@make(
    help="Write a plugin project: package, settings, implementation, tests, sample, README.\n\n"
    f"KIND is one of {', '.join(KINDS)}. NAME is the plugin's, in small letters with hyphens. "
    "DIR is where to write; default: retaild-NAME here.",
)
@click.argument("kind")
@click.argument("name")
@click.argument("directory", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
def command(session: Session, kind: str, name: str, directory: Path | None) -> None:
    if kind not in KINDS:
        known = f"There are templates for: {', '.join(KINDS)}."
        raise FailedError(f"There is no template for a plugin of kind {kind!r}.", known)
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME or keyword.iskeyword(name):
        hint = f"Small letters, digits and hyphens, at most {_MAX_NAME}: 'door-counter'."
        raise FailedError(f"{name!r} is no good name for a plugin.", hint)
    target = directory or Path(f"retaild-{name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FailedError(f"{target} is there already and is not empty.", "Name another directory.")
    files = write_project(kind, name, target)
    facts = {"kind": kind, "name": name, "directory": target, "files": sorted(files)}
    session.show(facts, lambda: _tell(target, files))


def _tell(target: Path, files: list[str]) -> None:
    for name in sorted(files):
        click.echo(f"  {target / name}")
    click.echo(f"Next, in {target}:")
    click.echo("  pytest                                # it passes; then make it yours")
    click.echo("  pip wheel --no-deps --wheel-dir dist .")
    click.echo("  retaildctl plugin install dist/*.whl")
