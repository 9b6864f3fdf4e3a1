"""Backups as commands, jobs and pages use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retaild.api.bus import Bus
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime.backup import shelf
from retaild.runtime.backup.create import Backup, Progress
from retaild.runtime.backup.errors import NoDestinationError, UnknownBackupError
from retaild.runtime.backup.manifest import Manifest
from retaild.runtime.context import Context


def destination(context: Context, given: Path | None) -> Path:
    """The given place, else the configured directory. Raises NoDestinationError."""
    configured = context.settings.backup.directory
    if given is None and not configured:
        raise NoDestinationError
    return given if given is not None else context.settings.base_dir / configured


def create(
    context: Context,
    config: Path | None,
    place: Path,
    progress: Progress,
    *,
    with_secrets: bool = False,
) -> tuple[Path, Manifest]:
    return Backup(context, config, with_secrets, progress).create(place)


def bus_of(context: Context, data: DataDir) -> Bus:
    """The configured bus on another data directory, not opened yet."""
    bus: Bus = context.plugins.build("bus", "bus", context.settings.bus, context.settings, data)
    return bus


def listed(folder: Path) -> list[dict[str, Any]]:
    """Backups in a folder, newest first; of archives only name and size are known."""
    if not folder.is_dir():
        return []
    whole = [{**one.manifest.summary(), "path": str(one.path)} for one in shelf.shelved(folder)]
    packed = [
        {"name": path.name, "path": str(path), "bytes": path.stat().st_size,
         "finished": path.stat().st_mtime}
        for path in shelf.archives(folder)
    ]  # fmt: skip
    return sorted([*whole, *packed], key=lambda row: row["finished"], reverse=True)


def named(settings: Settings, name: str) -> Path:
    """A backup of the configured directory; the newest for an empty name.

    Raises NoDestinationError, UnknownBackupError.
    """
    if not settings.backup.directory:
        raise NoDestinationError
    folder = settings.base_dir / settings.backup.directory
    for row in listed(folder):
        path = Path(row["path"])
        if name in ("", path.name):
            return path
    raise UnknownBackupError(name, folder)
