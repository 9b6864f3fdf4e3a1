"""`retaildctl logs`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from retaild.cli.command import command as make
from retaild.cli.exits import NotFoundError
from retaild.cli.output import paint
from retaild.cli.session import Session


@make(help="Show the newest log lines of a worker (daemon, ingest, stream, serve), or of all.")
@click.argument("name", required=False)
@click.option(
    "-n", "--lines", type=click.IntRange(1, 100_000), default=50, show_default=True,
    help="At most so many of the last lines.",
)  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
def command(session: Session, name: str | None, lines: int, follow: bool) -> None:
    from retaild.runtime.logs import tail

    found = {path.stem: path for path in sorted(session.existing.logs.glob("*.log"))}
    workers = {stem: path for stem, path in found.items() if not stem.startswith("job-")}
    if name is not None and name not in found:
        raise NotFoundError("log", name, f"Known: {', '.join(workers) or 'none'}.")
    chosen = {name: found[name]} if name else workers
    entries = _merged({stem: tail(path, lines) for stem, path in chosen.items()})[-lines:]
    shown = [{"log": stem, "line": line} for stem, line in entries]
    session.show({"lines": shown}, lambda: _tell(entries, len(chosen) > 1))
    if follow and not session.json:
        _follow(chosen)


def _merged(logs: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Lines of several logs by time; a line without a time stays behind the one before it."""
    keyed: list[tuple[str, str, str]] = []
    for stem, lines in logs.items():
        when = ""
        for line in lines:
            when = line[:24] if line[:4].isdigit() and line[10:11] == "T" else when
            keyed.append((when, stem, line))
    keyed.sort(key=lambda entry: entry[0])
    return [(stem, line) for _, stem, line in keyed]


def _tell(entries: list[tuple[str, str]], several: bool) -> None:
    for stem, line in entries:
        click.echo(f"{paint(stem.ljust(7), 'cyan')} {line}" if several else line)


def _follow(paths: dict[str, Path]) -> None:
    places = {stem: path.stat().st_size for stem, path in paths.items()}
    while True:
        time.sleep(0.3)
        for stem, path in paths.items():
            now = path.stat().st_size if path.exists() else 0
            if now < places[stem]:  # it was put aside; a new one has begun
                places[stem] = 0
            if now > places[stem]:
                with path.open("rb") as file:
                    file.seek(places[stem])
                    text = file.read().decode("utf-8", "replace")
                places[stem] = now
                _tell([(stem, line) for line in text.splitlines()], len(paths) > 1)
