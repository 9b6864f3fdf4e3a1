"""`retaildctl plugin install|upgrade|rollback|versions|remove`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retaild.api.errors import RetaildError
from retaild.cli.command import command as make
from retaild.cli.output import columns, print_table
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.config.settings import Settings
    from retaild.host.install import Change

#: Longest wait for the running retaild to have changed over, in seconds.
RELOAD_SECONDS = 120.0


def _pip_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--find-links", type=click.Path(exists=True, path_type=Path), metavar="DIR",
                     multiple=True, help="A directory with wheels, for pip."),
        click.option("--no-index", is_flag=True, help="Ask no package index; see --find-links."),
        click.option("--index-url", metavar="URL", help="The package index that pip asks."),
    ):  # fmt: skip
        function = option(function)
    return function


def _words(index_url: str | None, no_index: bool, find_links: Sequence[Path]) -> list[str]:
    words = ["--index-url", index_url] if index_url else []
    words += ["--no-index"] if no_index else []
    return words + [word for path in find_links for word in ("--find-links", str(path.absolute()))]


@make(help="Install a plugin from a wheel, or by a name that pip finds. retaild may be running.")
@click.argument("wheel_or_name")
@_pip_options
def install(session: Session, wheel_or_name: str, **options: Any) -> None:
    from retaild.host.install import install as work

    session.data.create()
    try:
        settings: Settings | None = session.settings
    except RetaildError:
        settings = None  # it may be the plugin that the configuration lacks
    change = work(session.data, settings, wheel_or_name, _words(**options))
    _finish(session, change, "plugin.install")


@make(help="Install another version; refused if an instance's settings would not do for it.")
@click.argument("wheel_or_name")
@_pip_options
def upgrade(session: Session, wheel_or_name: str, **options: Any) -> None:
    from retaild.host.install import install as work

    words = _words(**options)
    change = work(session.data, session.settings, wheel_or_name, words, upgrade=True)
    _finish(session, change, "plugin.upgrade")


@make(help="Go back to a version that was in use before (see `plugin versions`).")
@click.argument("distribution")
@click.argument("version")
def rollback(session: Session, distribution: str, version: str) -> None:
    from retaild.host.install import rollback as work

    change = work(session.data, session.settings, distribution, version)
    _finish(session, change, "plugin.rollback")


@make(help="Remove an installed plugin; refused while the configuration uses it.")
@click.argument("distribution")
@click.option("--force", is_flag=True, help="Even if instances of it are configured.")
def remove(session: Session, distribution: str, force: bool) -> None:
    from retaild.host.install import remove as work

    settings = None if force else session.settings
    change = work(session.data, settings, distribution, force=force)
    _finish(session, change, "plugin.remove")


@make(help="List what was installed with `plugin install`, and which versions are kept.")
def versions(session: Session) -> None:
    from retaild.host.installed import read_installed

    rows: list[dict[str, Any]] = [
        {
            "distribution": item.distribution,
            "version": version.version,
            "state": "in use" if version.version == item.active else "kept",
            "environment": "its own" if version.way == "environment" else "the host's",
            "plugins": [f"{one.kind} {one.name}" for one in version.provides],
            "created": version.installed_at,
        }
        for item in read_installed(session.data).values()
        for version in item.versions
    ]
    shown = [{**row, "plugins": ", ".join(row["plugins"])} for row in rows]
    names = columns("distribution version state environment plugins")
    session.show(rows, lambda: print_table(shown, names, "No plugin was installed."))


def _finish(session: Session, change: Change, what: str) -> None:
    """Write it down, let the running retaild know, delete what nobody uses any more, say it."""
    from retaild.host.install import delete_files
    from retaild.runtime.state import State

    before, after = (_version(change.before), _version(change.after))
    told = "Nothing changed."
    if before != after:
        State(session.data.state_db).close()  # it may be the first thing that is done there
        session.record(what, change.distribution, before=before, after=after)
        told = _reload(session)
        delete_files(session.data, change)
    facts = {
        "distribution": change.distribution, "before": before, "after": after,
        "plugins": [f"{p.kind} {p.name}" for p in change.after.current.provides]
        if change.after else [],
        "environment": change.reason, "running": told,
    }  # fmt: skip
    session.show(facts, lambda: _tell(facts))


def _version(plugin: Any) -> str | None:
    return None if plugin is None else str(plugin.active)


def _tell(facts: dict[str, Any]) -> None:
    name, before, after = facts["distribution"], facts["before"], facts["after"]
    if before == after:
        click.echo(f"{name} {after} is installed.")
    elif after is None:
        click.echo(f"Removed {name} {before}.")
    else:
        was = f" (it was {before})" if before else ""
        click.echo(f"Installed {name} {after}{was}: {', '.join(facts['plugins'])}.")
    if facts["environment"]:
        click.echo(f"It has a Python environment of its own: {facts['environment']}.")
    click.echo(facts["running"])
    if before is None:
        kind, _, plugin = facts["plugins"][0].partition(" ")
        click.echo(f"Next: `retaildctl plugin show {kind} {plugin} --sample`.")


def _reload(session: Session) -> str:
    """Ask the running retaild to change over; what became of it, in a sentence."""
    from retaild.runtime.control import NotRunningError

    try:
        session.daemon("reload", by=session.user, via="command")
        return _outcome(session)
    except NotRunningError:
        return "retaild is not running; it counts from the next start."
    except RetaildError as error:
        return f"The running retaild has not changed over: {error} Then: `retaildctl reload`."


def _outcome(session: Session) -> str:
    end = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < end:
        reload = session.daemon("reload-status")["reload"]
        if reload["state"] != "running":
            break
        time.sleep(0.1)
    if reload["state"] in ("done", "unchanged"):
        return "The running retaild knows it."
    reason = f"{reload['error']} {reload['hint']}".strip()
    return f"The running retaild goes on as before ({reload['state']}): {reason}"
