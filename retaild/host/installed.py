"""What `retaildctl plugin install` has put beside the host: `<data>/plugins/installed.json`.

Read by any process, at any moment: the file is replaced in one step. Costs the standard library
only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from retaild.config.paths import DataDir

FORMAT = 1

#: `path`: beside the host's own packages. `environment`: a Python environment of its own.
Way = Literal["path", "environment"]


@dataclass(frozen=True, slots=True)
class Provided:
    """A plugin that a version brings: its kind and name, and the module that registers it."""

    kind: str
    name: str
    entry: str
    module: str


@dataclass(frozen=True, slots=True)
class InstalledVersion:
    """One version's files. `directory` is below `<data>/plugins`; `packages` are those in it."""

    version: str
    way: Way
    directory: str
    provides: tuple[Provided, ...]
    #: Name -> version of what was installed for it, itself among them.
    packages: Mapping[str, str] = field(default_factory=dict)
    #: SHA-256 of the wheel.
    wheel: str = ""
    installed_at: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "provides": tuple(Provided(**p) for p in values["provides"])})


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A distribution, its version in use, and those kept to go back to (oldest first)."""

    distribution: str
    active: str
    versions: tuple[InstalledVersion, ...]

    @property
    def current(self) -> InstalledVersion:
        return self.version(self.active)

    def version(self, version: str) -> InstalledVersion:
        """Raises KeyError."""
        for item in self.versions:
            if item.version == version:
                return item
        raise KeyError(version)

    def with_version(self, new: InstalledVersion) -> InstalledPlugin:
        others = tuple(item for item in self.versions if item.version != new.version)
        return replace(self, active=new.version, versions=(*others, new))


Plugins = Mapping[str, InstalledPlugin]


def plugins_dir(data: DataDir) -> Path:
    return data.root / "plugins"


def installed_mark(data: DataDir) -> tuple[int, int] | None:
    """Another one after each change; None if nothing was ever installed."""
    try:
        stat = (plugins_dir(data) / "installed.json").stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino


def read_installed(data: DataDir) -> dict[str, InstalledPlugin]:
    """Distribution -> what is installed of it; empty if there is nothing or nothing legible."""
    try:
        document = json.loads((plugins_dir(data) / "installed.json").read_bytes())
        if document["format"] != FORMAT:
            return {}
        return {
            name: InstalledPlugin(
                name, item["active"], tuple(InstalledVersion.of(v) for v in item["versions"])
            )
            for name, item in document["plugins"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_installed(data: DataDir, plugins: Plugins) -> None:
    """Replace the file in one step; on disk when this returns."""
    document = {
        "format": FORMAT,
        "plugins": {
            name: {"active": item.active, "versions": [asdict(v) for v in item.versions]}
            for name, item in sorted(plugins.items())
        },
    }
    write_atomically(plugins_dir(data) / "installed.json", json.dumps(document, indent=1))


def write_atomically(path: Path, text: str) -> None:
    """A reader, and a machine after a power cut, sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        with suppress(OSError):
            scratch.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def provided(plugins: Plugins) -> Iterator[tuple[InstalledPlugin, Provided]]:
    """Everything that the active versions bring."""
    for item in plugins.values():
        for one in item.current.provides:
            yield item, one
