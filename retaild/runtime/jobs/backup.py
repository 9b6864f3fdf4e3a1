"""Job `backup`: a backup into the configured directory, and old ones removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retaild.config.active import ActiveStore
from retaild.config.locate import locate_config
from retaild.runtime.backup import service, shelf
from retaild.runtime.backup.places import is_archive
from retaild.runtime.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Argument `directory` in place of the configured one; backup.keep of ours stay there."""
    given = context.arguments.get("directory")
    place = service.destination(context, Path(given) if given else None)
    path, manifest = service.create(context, _main_file(context), place, context.progress)
    removed = []
    if not is_archive(place):
        keep = context.settings.backup.keep
        removed = shelf.prune(place, keep, context.data.root)
    context.progress(1.0, f"{manifest.size:,} bytes")
    return {
        "path": str(path), "bytes": manifest.size, "linked_bytes": manifest.linked,
        "files": len(manifest.files), "removed": [str(path) for path in removed],
    }  # fmt: skip


def _main_file(context: JobContext) -> Path | None:
    """The file that people write: jobs themselves are given the configuration in force."""
    active = ActiveStore(context.data).current()
    if active is not None and active.main:
        return Path(active.main)
    return locate_config()
