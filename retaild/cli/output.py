"""How results look: tables that fit the terminal for people, JSON for scripts."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import click

Row = Mapping[str, Any]
#: A column: its heading, and how a row's cell reads.
Column = tuple[str, Callable[[Row], Any]]

#: Fields that hold seconds since the epoch; JSON shows them as ISO 8601 in UTC.
_TIMES = frozenset(
    (
        "since",
        "beat",
        "started",
        "finished",
        "requested",
        "next_run",
        "at",
        "created",
        "decided_at",
        "updated",
        "last_event",
        "first_time",
        "last_time",
        "time",
        "generated_at",
    )
)
_COLOURS = {
    "running": "green", "succeeded": "green", "champion": "green", "approved": "green",
    "ok": "green", "failed": "red", "killed": "red", "backoff": "red", "stopped": "red",
    "error": "red", "broken": "red", "rejected": "yellow", "warning": "yellow",
    "starting": "yellow", "stopping": "yellow", "queued": "yellow", "open": "yellow",
    "challenger": "yellow",
}  # fmt: skip


def coloured() -> bool:
    """Colours only on a terminal, and never with NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str | None = None, *, bold: bool = False) -> str:
    return click.style(text, fg=colour, bold=bold) if coloured() else text


def print_json(data: Any) -> None:
    click.echo(json.dumps(jsonable(data), indent=2, ensure_ascii=False))


def jsonable(value: Any, name: str = "") -> Any:
    """As JSON can hold it: times in ISO 8601 UTC, decimals as text so that no penny is lost."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(inner) for inner in value]
    if isinstance(value, float) and name in _TIMES:
        return iso(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Decimal) or not isinstance(value, str | int | float | bool | None):
        return str(value)
    return value


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ago(seconds: float | None) -> str:
    """How long a moment is past: "12 s ago"; "-" for never."""
    return "-" if seconds is None else f"{duration(time.time() - seconds)} ago"


def until(seconds: float | None) -> str:
    return "-" if seconds is None else f"in {duration(seconds - time.time())}"


def duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float | None) -> str:
    if not count:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def moment(name: str, value: Any) -> Any:
    """A field's value; if its name says that it is a time, in words."""
    return iso(value) if name in _TIMES and isinstance(value, int | float) else value


def cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, bytes):
        return " ".join(value.decode("utf-8", "replace").split())
    return " ".join(str(value).split())


def print_table(
    rows: Sequence[Row], columns: Sequence[Column], empty: str, indent: str = ""
) -> None:
    """Rows under headings, cut to the terminal's width; the sentence `empty` if there are none."""
    if not rows:
        click.echo(empty)
        return
    heads = [head for head, _ in columns]
    table = [[cell(read(row)) for _, read in columns] for row in rows]
    raw = [[read(row) for _, read in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    widths = _fit(widths, len(indent))
    click.echo(indent + paint(_line(heads, widths, [False] * len(heads)), bold=True))
    for texts, values in zip(table, raw, strict=True):
        numeric = [isinstance(v, int | float | Decimal) and not isinstance(v, bool) for v in values]
        click.echo(indent + _line(texts, widths, numeric, colour=True))


def _fit(widths: list[int], indent: int) -> list[int]:
    """Narrow the widest columns until a line fits; a pipe or file is never cut."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return widths
    room = max(40, shutil.get_terminal_size().columns) - 2 * (len(widths) - 1) - indent
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda index: widths[index])
        if widths[widest] <= 8:
            break
        widths[widest] -= 1
    return widths


def _line(
    texts: Sequence[str], widths: Sequence[int], right: Sequence[bool], *, colour: bool = False
) -> str:
    cells = []
    for index, (text, width, is_right) in enumerate(zip(texts, widths, right, strict=True)):
        short = text if len(text) <= width else text[: width - 1] + "…"
        last = index == len(texts) - 1
        padded = short.rjust(width) if is_right else short if last else short.ljust(width)
        cells.append(paint(padded, _COLOURS.get(text)) if colour and text in _COLOURS else padded)
    return "  ".join(cells).rstrip()


def print_facts(facts: Sequence[tuple[str, Any]], indent: str = "") -> None:
    """Names and values under one another."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        text = cell(value)
        said = f"{paint(name.ljust(width), bold=True)}  {paint(text, _COLOURS.get(text))}"
        click.echo(indent + said)


def print_tree(data: Mapping[str, Any], indent: str = "") -> None:
    """A line per figure: plain ones first, then what holds others, each under its name.

    Empty ones are left out; of rows that hold more than figures, the figures alone are shown.
    """
    held = {key: value for key, value in data.items() if _holds(value)}
    plain = [(key, value) for key, value in data.items() if key not in held]
    print_facts(
        [(key, moment(key, _joined(value))) for key, value in plain if value not in _EMPTY], indent
    )
    for key, value in held.items():
        click.echo(indent + paint(key, bold=True))
        if isinstance(value, Mapping):
            print_tree(value, f"{indent}  ")
        else:
            names = [name for name, inner in value[0].items() if not isinstance(inner, dict | list)]
            print_table(value, columns(" ".join(names)), "", f"{indent}  ")


_EMPTY: tuple[Any, ...] = (None, "", {}, [], ())


def _holds(value: Any) -> bool:
    rows = isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value)
    return bool(rows) or (isinstance(value, Mapping) and bool(value))


def _joined(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def field(name: str) -> Callable[[Row], Any]:
    """Reads one field of a row."""
    return lambda row: row.get(name)


def columns(names: str) -> list[Column]:
    """Columns headed by their fields' names: "id state started"."""
    return [(name.replace("_", " "), field(name)) for name in names.split()]
