"""Texts without data: words of the program stay, everything else becomes a placeholder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from retaild.config.masking import is_reference, is_secret_name
from retaild.runtime.bundle.words import vocabulary

#: Longer lines are cut.
MAX_LINE = 2000
_HEAD = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) +([A-Z]+) +([\w.]+): (.*)", re.S)
_SOURCE = re.compile(
    r"(?:.*/)?(?P<place>(?:retaild|retaild_plugins|site-packages|lib/python3\.\d+)/[\w./-]+\.py)"
)
_TRACE = re.compile(r'(\s*)File "([^"]+)", line (\d+)(?:, in ([\w<>.]+))?\s*')
_NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?")
#: Names of things that are counted, and words before a number that is the program's own.
_UNITS = frozenset(
    {"s", "ms", "min", "%", "bytes", "kib", "mib", "gib", "rows", "entries"}
    | {"files", "tables", "seconds", "tries", "processes"}
)
_LABELS = frozenset(
    {"line", "code", "errno", "version", "run", "process", "port", "schema", "entry", "exit"}
)
_EDGES = re.compile(r"^(\W*)(.*?)(\W*)$", re.S)
_PIECES = re.compile(r"[A-Za-z]+|[^A-Za-z]+")


def scrub_line(line: str) -> str:
    """A line of a log: its time, level and logger, and its message scrubbed."""
    line = line[:MAX_LINE]
    if match := _HEAD.fullmatch(line):
        time, level, logger, text = match.groups()
        return f"{time} {level} {scrub(logger)}: {scrub(text)}"
    if match := _TRACE.fullmatch(line):
        indent, path, number, function = match.groups()
        source = _SOURCE.fullmatch(path)
        place = source["place"] if source else "<path>"
        return f'{indent}File "{place}", line {number}, in {scrub(function or "<module>")}'
    indent = line[: len(line) - len(line.lstrip(" "))]
    return indent + scrub(line)


def scrub(text: str) -> str:
    """Words that the program's own messages use, and counts with their units; no other word."""
    words, kept = text.split(), list[str]()
    for index, word in enumerate(words):
        before = _bare(words[index - 1]) if index else ""
        after = _bare(words[index + 1]) if index + 1 < len(words) else ""
        kept.append(_word(word, before, after))
    return " ".join(_joined(kept))


def _bare(word: str) -> str:
    return word.strip("()[]{}<>,.;:!?\"'").lower()


def _word(word: str, before: str, after: str) -> str:
    match = _EDGES.fullmatch(word)
    if match is None or not match[2]:
        return word if len(word) <= 3 else "<…>"
    left, core, right = match.groups()
    return f"{left[:3]}{_core(core, before, after, right)}{right[:3]}"


def _core(core: str, before: str, after: str, right: str) -> str:
    if "@" in core:
        return "<address>"
    if _NUMBER.fullmatch(core):
        unit = after in _UNITS or right.startswith("%")
        # A label makes short numbers the program's own; a till's numbers are longer.
        return core if unit or (before in _LABELS and len(core) <= 7) else "<number>"
    if "/" in core or "\\" in core:
        return "<path>"
    pieces = _PIECES.findall(core)
    known = vocabulary()
    if all(p.lower() in known if p.isalpha() else _is_glue(p) for p in pieces):
        return core
    return "<…>"


def _is_glue(piece: str) -> bool:
    """What may stand between the words of a name: `retaild.stream`, `can't`, `source_position`."""
    return len(piece) <= 3 and not any(sign.isalnum() for sign in piece)


def _joined(words: list[str]) -> list[str]:
    """Several placeholders in a row say no more than one."""
    return [w for i, w in enumerate(words) if not (w == "<…>" and i and words[i - 1] == "<…>")]


def scrub_values(value: Any, name: str = "") -> Any:
    """Settings: their structure, switches and numbers, and texts scrubbed; secrets are hidden."""
    if is_reference(value):
        return f"<kept in a {next(iter(value))}>"
    if isinstance(value, Mapping):
        return {scrub(str(key)): scrub_values(inner, str(key)) for key, inner in value.items()}
    if is_secret_name(name) and value not in (None, ""):
        return "<hidden>"
    if isinstance(value, list | tuple):
        return [scrub_values(item, name) for item in value]
    if isinstance(value, bool | None):
        return value
    # Seven digits and more may be an account or an article.
    if isinstance(value, int | float):
        return value if abs(value) < 1e6 else "<number>"
    return scrub(str(value))
