"""Job `verify-backup`: read a backup of the configured directory and compare every byte."""

from __future__ import annotations

from typing import Any

from retaild.runtime.backup.errors import DamagedBackupError
from retaild.runtime.backup.service import named
from retaild.runtime.backup.verify import verify
from retaild.runtime.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Argument `backup`: its name; the newest when left out. Raises DamagedBackupError."""
    path = named(context.settings, context.arguments.get("backup", ""))
    # Also of one that turns out to be damaged, or no backup at all, people are told which it was.
    context.state.save_run(context.run_id, result={"name": path.name})
    verdict = verify(path, context.progress)
    if verdict.problems:
        raise DamagedBackupError(path, list(verdict.problems))
    return {"name": path.name, "bytes": verdict.manifest.size, "files": len(verdict.manifest.files)}
