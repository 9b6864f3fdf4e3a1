"""The TOML files and the environment, merged into one document that remembers who said what."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retaild.config.faults import Fault
from retaild.config.lines import key_lines, line_of
from retaild.config.locate import config_files

ENVIRONMENT = "environment"
_PREFIX = "RETAILD__"

KeyPath = tuple[str, ...]


@dataclass
class Document:
    """Merged values, the place of each key, and the files that could not be read."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, tuple[str, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def place(self, path: KeyPath) -> tuple[str, int]:
        """(file, line) that set `path`, or its nearest ancestor that was set; ("", 0) if none."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return next(((file, 0) for file, _ in self.places.values()), ("", 0))

    def fault(self, path: KeyPath, message: str, hint: str = "", **options: Any) -> Fault:
        file, line = self.place(path)
        return Fault(file, line, ".".join(path), message, hint, **options)


def read_documents(main: Path | None, environment: Mapping[str, str]) -> Document:
    """Read the main file, `conf.d/*.toml`, then `RETAILD__SECTION__KEY` variables; later wins."""
    document = Document()
    for path in config_files(main):
        _add_file(document, path)
    for name, text in sorted(environment.items()):
        if name.startswith(_PREFIX):
            _add_variable(document, name, text)
    return document


def read_file(path: Path) -> Document:
    """One file by itself: a mapping for an import, say."""
    document = Document()
    _add_file(document, path)
    return document


def _add_file(document: Document, path: Path) -> None:
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        hint = "Create it with `retaildctl init`, or name another with --config."
        document.faults.append(Fault(str(path), 0, "", f"Cannot read this file: {reason}.", hint))
    except UnicodeDecodeError:
        hint = "Save it as UTF-8."
        document.faults.append(Fault(str(path), 0, "", "This file is not UTF-8 text.", hint))
    except tomllib.TOMLDecodeError as error:
        document.faults.append(_syntax_fault(path, str(error), text))
    else:
        lines = key_lines(text)
        _merge(document, values, str(path), lines, ())


def _syntax_fault(path: Path, message: str, text: str) -> Fault:
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", message)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    reason = message[: found.start()] if found else message
    return Fault(str(path), line, "", f"Not valid TOML: {reason[:1].lower()}{reason[1:]}.")


def _merge(
    document: Document,
    values: Mapping[str, Any],
    file: str,
    lines: dict[KeyPath, int],
    path: KeyPath,
) -> None:
    """Lay a file's tables over what is known: tables merge, everything else is replaced."""
    target = document.values
    for key in path:
        target = target[key]
    for key, value in values.items():
        here = (*path, key)
        document.places[here] = (file, line_of(lines, here))
        if isinstance(value, Mapping):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(document, value, file, lines, here)
        else:
            target[key] = value
            _note_items(document, value, file, lines, here)


def _note_items(
    document: Document, value: Any, file: str, lines: dict[KeyPath, int], path: KeyPath
) -> None:
    """Places of list items and what is in them; those of an earlier file's list are dropped."""
    for old in [p for p in document.places if len(p) > len(path) and p[: len(path)] == path]:
        del document.places[old]
    for found, line in lines.items():
        if isinstance(value, list) and len(found) > len(path) and found[: len(path)] == path:
            document.places[found] = (file, line)


def _add_variable(document: Document, name: str, text: str) -> None:
    path = tuple(part.lower() for part in name.removeprefix(_PREFIX).split("__"))
    value: Any = _parsed(text)
    for key in reversed(path):
        value = {key: value}
    lines: dict[KeyPath, int] = {}
    _merge(document, value, f"{ENVIRONMENT} {name}", lines, ())


def _parsed(text: str) -> Any:
    """Lists and tables are written as in TOML; anything else is text that the model converts."""
    if text[:1] not in ("[", "{"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
