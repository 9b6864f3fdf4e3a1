"""The newest commits of a table as a power cut may leave them: torn, or ahead of their files.

Delta's writer does not ask the disk to confirm what it has written. So after a power cut a commit
may be cut short, or name a data file whose bytes are missing. Such commits are set aside, with
those after them: the table is as it was before, and whoever wrote them writes them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

#: Commits that are looked at: far more than are written in the seconds a disk may be behind.
LOOKED_AT = 200
SET_ASIDE = ".damaged"


@dataclass(frozen=True, slots=True)
class Torn:
    """The first commit that is not whole, and why in half a sentence."""

    version: int
    file: Path
    why: str


def first_torn(table: Path) -> Torn | None:
    """The oldest of the newest commits that is not whole; None if all are."""
    removed: set[str] = set()
    found: Torn | None = None
    for version, file in sorted(_commits(table), reverse=True)[:LOOKED_AT]:
        try:
            actions = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line]
            if not all(isinstance(action, dict) for action in actions) or not actions:
                raise ValueError("it is empty")
        except ValueError as error:
            found = Torn(version, file, f"it cannot be read ({error})")
            continue
        why = _missing(table, actions, removed)
        if why:
            found = Torn(version, file, why)
        removed.update(a["remove"]["path"] for a in actions if "remove" in a)
    return found


def _missing(table: Path, actions: list[dict[str, Any]], removed: set[str]) -> str:
    """What is wrong with a data file that still belongs to the table; empty if nothing."""
    for action in actions:
        add = action.get("add")
        if add and add["path"] not in removed:
            file = table / unquote(add["path"])
            size = file.stat().st_size if file.is_file() else -1
            if size < 0:
                return f"its file {file.name} is missing"
            if size != add["size"]:
                return f"its file {file.name} has {size} bytes instead of {add['size']}"
    return ""


def can_go_back(table: Path, version: int) -> bool:
    """Whether the table can be read as it was before `version`."""
    log = table / "_delta_log"
    whole = any(number < version for number in _checkpoints(table))
    return version > 0 and (whole or (log / f"{0:020d}.json").exists())


def set_aside_from(table: Path, version: int) -> list[Path]:
    """Rename commits and checkpoints from `version` on, newest first; their new names."""
    log, moved = table / "_delta_log", list[Path]()
    for path in sorted(log.iterdir(), reverse=True):
        number = path.name[:20]
        late = number.isdecimal() and int(number) >= version and not path.name.endswith(SET_ASIDE)
        if late or path.name == "_last_checkpoint":
            moved.append(set_aside(path))
    return moved


def set_aside(path: Path) -> Path:
    """Rename a broken file, never over another one; its new name."""
    for number in range(1, 1_000_000):
        target = path.with_name(f"{path.name}.{number}{SET_ASIDE}")
        if not target.exists():
            with suppress(FileNotFoundError):
                path.rename(target)
            return target
    raise AssertionError("a million broken files of one name")


def _commits(table: Path) -> Iterator[tuple[int, Path]]:
    for path in (table / "_delta_log").glob("*.json"):
        if len(path.stem) == 20 and path.stem.isdecimal():
            yield int(path.stem), path


def _checkpoints(table: Path) -> set[int]:
    names = (path.name for path in (table / "_delta_log").glob("*.checkpoint*.parquet"))
    return {int(name[:20]) for name in names if name[:20].isdecimal()}
