"""Finding plugin modules by entry point, ours and anyone's."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path

GROUP = "retaild.plugins"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point and the distribution that brought it."""

    entry: EntryPoint
    distribution: str
    version: str


def find() -> Iterator[Found]:
    """All entry points of the group, sorted by distribution and name."""
    found = [_found(entry) for entry in entry_points(group=GROUP)]
    if not _installed():
        found += _of_source_tree()
    yield from sorted(found, key=lambda item: (item.distribution, item.entry.name))


def _found(entry: EntryPoint) -> Found:
    if entry.dist is None:
        return Found(entry, "unknown", "")
    return Found(entry, entry.dist.name, entry.dist.version)


def _installed() -> bool:
    try:
        distribution("retaild")
    except PackageNotFoundError:
        return False
    return True


def _of_source_tree() -> list[Found]:
    """Run from a checkout that was not installed, our own entry points are in pyproject.toml."""
    project_file = Path(__file__).parents[2] / "pyproject.toml"
    if not project_file.is_file():
        return []
    project = tomllib.loads(project_file.read_text("utf-8"))["project"]
    entries = project["entry-points"][GROUP].items()
    return [
        Found(EntryPoint(name, value, GROUP), project["name"], project["version"])
        for name, value in entries
    ]
