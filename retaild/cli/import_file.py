"""`retaildctl import FILE`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retaild.cli import exits
from retaild.cli.command import command as make
from retaild.cli.output import duration, print_json
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.config.sections import PluginInstance
    from retaild.runtime.context import Context
    from retaild.runtime.importing import ImportResult


@make(
    help="""Import FILE (or all files of a folder) and bring it into the lake.

Rows are read as a configured source reads them (--source), or by a mapping of their own
(--mapping: a file with the settings of a source; `retaildctl plugin show tabular --sample` prints
one). Importing a file twice adds nothing; an import that was interrupted goes on where it was.
Works with and without a running daemon.
"""
)
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--source", help="A configured source; needless if there is only one.")
@click.option("--mapping", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A TOML file that says how to read FILE.")  # fmt: skip
@click.option("--wait/--no-wait", default=True, show_default=True,
              help="Wait until the rows can be queried in the lake.")  # fmt: skip
def command(
    session: Session, file: Path, source: str | None, mapping: Path | None, wait: bool
) -> int:
    if source and mapping:
        raise click.UsageError("State either --source or --mapping, not both.")
    from retaild.cli.lake_writer import lake_writer
    from retaild.host.lifecycle import closing_always

    context = session.context()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: context.stop.set())
    name, instance = _instance(context, source, mapping, file)
    progress = _Progress(sys.stderr.isatty() and not session.json)
    began = time.monotonic()
    with closing_always(context.bus()) as bus:
        bus.open()
        with lake_writer(context, bus) as writer:
            from retaild.runtime.importing import import_file

            result = import_file(
                context, file, instance or name, name=name, bus=bus, on_progress=progress.show
            )
            progress.say("writing the lake ...")
            in_lake = writer.wait() if wait and result.complete else False
    progress.clear()
    facts = _facts(name, file, result, in_lake, time.monotonic() - began)
    from retaild.events.cards import mask

    taken = {key: facts[key] for key in ("source", "accepted", "dead", "complete")}
    session.record("events.import", mask(str(file)), after=taken)
    return _tell(session, facts, wait)


def _instance(
    context: Context, source: str | None, mapping: Path | None, file: Path
) -> tuple[str, PluginInstance | None]:
    """The source's name, and the instance if it is not a configured one."""
    if mapping is not None:
        return _mapped(context, mapping, file)
    if source is None:
        able = [
            name
            for name, instance in context.settings.source.items()
            if getattr(context.plugins.specs("source").get(instance.plugin), "imports_files", False)
        ]
        if len(able) != 1:
            known = f"Configured: {', '.join(able)}." if able else "None is configured."
            raise click.UsageError(f"Say how to read it: --source NAME or --mapping FILE. {known}")
        source = able[0]
    return source, None


def _mapped(context: Context, mapping: Path, file: Path) -> tuple[str, PluginInstance]:
    """A mapping is `[source.NAME]` with its settings, or the settings alone."""
    from retaild.config.documents import read_file
    from retaild.config.faults import ConfigFaultsError
    from retaild.config.sections import PluginInstance
    from retaild.host.check import check_plugin

    document = read_file(mapping)
    if document.faults:
        raise ConfigFaultsError(document.faults)
    sources = document.values.get("source")
    if isinstance(sources, dict) and len(sources) == 1:
        name, values = next(iter(sources.items()))
        prefix: tuple[str, ...] = ("source", name)
    else:
        name, values, prefix = mapping.stem, document.values, ()
    settings: dict[str, Any] = {"plugin": "tabular", **values, "path": str(file.absolute())}
    instance = PluginInstance.model_validate(settings)
    base = mapping.parent.absolute()
    faults = check_plugin("source", prefix, instance, base, document, context.plugins)
    errors = [fault for fault in faults if fault.severity == "error"]
    if errors:
        raise ConfigFaultsError(errors)
    return name, instance


def _facts(
    name: str, file: Path, result: ImportResult, in_lake: bool, seconds: float
) -> dict[str, Any]:
    return {
        "source": name,
        "file": file,
        "accepted": result.accepted,
        "dead": result.dead,
        "refused_cards": result.refused_cards,
        "complete": result.complete,
        "in_lake": in_lake,
        "import_seconds": round(result.seconds, 3),
        "seconds": round(seconds, 3),
        "faults": list(result.faults),
    }


def _tell(session: Session, facts: dict[str, Any], waited: bool) -> int:
    if session.json:
        print_json(facts)
    else:
        _tell_people(facts, waited)
    if not facts["complete"]:
        return exits.INTERRUPTED
    return exits.FAILURE if facts["faults"] or (waited and not facts["in_lake"]) else exits.OK


def _tell_people(facts: dict[str, Any], waited: bool) -> None:
    rate = (facts["accepted"] + facts["dead"]) / max(facts["import_seconds"], 1e-9)
    click.echo(f"{facts['accepted']:,} rows accepted in {duration(facts['seconds'])} "
               f"({rate:,.0f} rows/s into the log)")  # fmt: skip
    if facts["dead"]:
        cards = facts["refused_cards"]
        held = f", {cards:,} of them for a card number" if cards else ""
        click.echo(f"{facts['dead']:,} refused{held}. See `retaildctl deadletter list`.")
    for fault in facts["faults"]:
        click.echo(f"Not read: {fault}", err=True)
    if not facts["complete"]:
        click.echo("Interrupted: the same command goes on from here.", err=True)
    elif waited and not facts["in_lake"]:
        click.echo("The rows are safe in the log, but the lake does not take them. "
                   "See `retaildctl logs stream`.", err=True)  # fmt: skip


class _Progress:
    """A bar on standard error, drawn at most ten times a second."""

    def __init__(self, visible: bool) -> None:
        self._visible, self._drawn, self._next = visible, 0, 0.0
        self._began = time.monotonic()

    def show(self, done: int, total: int, label: str) -> None:
        now = time.monotonic()
        if not self._visible or (now < self._next and done < total):
            return
        self._next = now + 0.1
        rate = done / max(now - self._began, 1e-3)
        if total:
            full = min(30, done * 30 // total)
            left = duration((total - done) / max(rate, 1.0))
            bar = f"[{'#' * full}{'-' * (30 - full)}] {done * 100 // total:3d} %"
            self._draw(f"{label[:30]} {bar} {done:,} rows, {left} left")
        else:
            self._draw(f"{label[:30]} {done:,} rows, {rate:,.0f} rows/s")

    def say(self, text: str) -> None:
        if self._visible:
            self._draw(text)

    def _draw(self, text: str) -> None:
        click.echo("\r" + text.ljust(self._drawn), nl=False, err=True)
        self._drawn = len(text)

    def clear(self) -> None:
        if self._drawn:
            click.echo("\r" + " " * self._drawn + "\r", nl=False, err=True)
