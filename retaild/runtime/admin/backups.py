"""Backups in the configured directory, and what came of the last look at each."""

from __future__ import annotations

from typing import Any

from retaild.config.settings import Settings
from retaild.runtime.backup.service import listed
from retaild.runtime.state import Row, State

#: So many runs of the job `verify-backup` are looked through for each backup's last.
_RUNS = 500


def backups(settings: Settings, state: State) -> dict[str, Any]:
    """`directory` (empty: not configured) and `backups`, newest first.

    `verified` of each: when the job `verify-backup` last read it whole, and the fault it found.
    """
    if not settings.backup.directory:
        return {"directory": "", "backups": []}
    folder = settings.base_dir / settings.backup.directory
    verified = _verified(state)
    rows = [{**row, "verified": verified.get(row["name"])} for row in listed(folder)]
    return {"directory": str(folder), "backups": rows}


def _verified(state: State) -> dict[str, dict[str, Any]]:
    last: dict[str, dict[str, Any]] = {}
    for run in state.runs(job="verify-backup", limit=_RUNS):
        if run["state"] in ("succeeded", "failed"):
            last.setdefault(_name(run), {"at": run["finished"], "fault": run["error"] or ""})
    return last


def _name(run: Row) -> str:
    """Of the backup that a run read; a run that chose the newest says which only in its result."""
    given = run["arguments"].get("backup") or (run["result"] or {}).get("name")
    return str(given or "")
