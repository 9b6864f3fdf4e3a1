"""What a reload does or would do, in lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from retaild.cli.output import paint

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
#: What people notice of it, by kind of process; measured by benchmarks/reload.py.
_PAUSES = {
    "serve": "no request waits",
    "ingest": "sources wait about a second; the door of the server goes on",
    "stream": "events are taken in; the lake lags a few seconds",
    "source": "it alone pauses, about a second; nothing is lost or read twice",
    "alert": "alerts wait for it, about a second",
    "identity": "signing in waits, about a second",
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
            pause = _PAUSES.get(name.partition(".")[0], "") if what == "replaced" else ""
            click.echo(f"{name}: {what if done else _would(what)}{f' ({pause})' if pause else ''}")
    if touched["untouched"]:
        click.echo(f"untouched: {', '.join(sorted(touched['untouched']))}")


def _would(what: str) -> str:
    return f"to be {what}"
