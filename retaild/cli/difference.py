"""What a reload does or would do, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from retaild.cli.output import paint

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
#: Kind of process -> what people notice while it is replaced. How long: docs/benchmarks.md.
_PAUSES = {
    "serve": "nobody waits: the new server is ready before the old one ends",
    "ingest": "every source waits for it; the server goes on taking events",
    "stream": "the lake stands still until it is back; events wait in the log",
    "source": "pauses; all else goes on, nothing is lost or read twice",
    "alert": "what it has to tell waits for it",
    "service": "whoever uses it waits until it answers again",
    "identity": "nobody can sign in until it is back; who is signed in stays so",
}


def show_faults(faults: Sequence[dict[str, Any]]) -> None:
    for fault in faults:
        color = "yellow" if fault["severity"] == "warning" else "red"
        place = fault["file"] or "configuration"
        place = f"{place}:{fault['line']}" if fault["line"] else place
        click.echo(f"{paint(place, bold=True)}: {paint(fault['severity'], color, bold=True)}: "
                   f"{fault['message']}")  # fmt: skip
        if fault["hint"]:
            click.echo(f"    {fault['hint']}")


def show_changes(changes: Sequence[dict[str, Any]]) -> None:
    for change in changes:
        sign, color = _SIGNS[change["kind"]]
        values = [value for value in (change["before"], change["after"]) if value is not None]
        place = f"   ({change['file']}:{change['line']})" if change["line"] else ""
        click.echo(
            f"{paint(sign, color, bold=True)} {change['path']}: {' -> '.join(values)}{place}"
        )


def show_touched(touched: dict[str, Any] | None, *, done: bool) -> None:
    if touched is None:
        return
    for what in ("started", "stopped", "replaced"):
        for name in touched[what]:
            click.echo(f"{name}: {what if done else _would(what)}")
    if touched["untouched"]:
        click.echo(f"untouched: {', '.join(sorted(touched['untouched']))}")


def expected_pauses(touched: Mapping[str, Sequence[str]]) -> list[str]:
    """What people would notice of such a reload, a line for each kind of process it replaces."""
    groups: dict[str, list[str]] = {}
    for name in touched["replaced"]:
        groups.setdefault(name.partition(".")[0], []).append(name)
    if "ingest" in groups:
        groups.pop("source", None)  # they wait for it anyway
    lines = [
        f"{', '.join(names)}: {_PAUSES[kind]}" for kind, names in groups.items() if kind in _PAUSES
    ]
    stopped = [f"{name}: takes in nothing any more" for name in touched["stopped"]
               if name.startswith("source.")]  # fmt: skip
    return [*lines, *stopped] or ["Nobody notices: no process is replaced."]


def _would(what: str) -> str:
    return f"to be {what}"
