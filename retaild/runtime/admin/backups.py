"""Backups in the configured directory, and what came of the last look at each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retaild.config.settings import Settings
from retaild.runtime.backup.service import listed
from retaild.runtime.state import Row, State

#: So many runs of the kind `verify-backup` are looked through for each backup's last.
_RUNS = 500


def backups(settings: Settings, state: State) -> dict[str, Any]:
    """`directory` (empty: not configured) and `backups`, newest first.

    `verified` of each: when it was last read whole, by the job `verify-backup` or by `retaildctl
    backup verify`, and the fault that was found.
    """
    if not settings.backup.directory:
        return {"directory": "", "backups": []}
    folder = settings.base_dir / settings.backup.directory
    verified = last_looks(state)
    rows = [{**row, "verified": verified.get(row["name"])} for row in listed(folder)]
    return {"directory": str(folder), "backups": rows}


def last_looks(state: State) -> dict[str, dict[str, Any]]:
    """Name of a backup -> `at` (seconds, UTC) and `fault`, empty if it was whole."""
    last: dict[str, dict[str, Any]] = {}
    runs = state.rows(
        "SELECT * FROM job_run WHERE kind = 'verify-backup' AND state IN ('succeeded', 'failed') "
        "ORDER BY finished DESC LIMIT ?",
        [_RUNS],
    )
    for run in runs:
        last.setdefault(_name(run), {"at": run["finished"], "fault": run["error"] or ""})
    return last


def note_look(settings: Settings, state: State, path: Path, began: float, *, deep: bool,
              fault: str) -> None:  # fmt: skip
    """Keep what a command found in a backup of the configured directory; others are not shown.

    `began`: seconds, UTC.
    """
    if not settings.backup.directory:
        return
    folder = settings.base_dir / settings.backup.directory
    if path.absolute().parent.resolve() == folder.resolve():
        name = path.absolute().name
        result = {"name": name, "deep": deep}
        state.add_finished_run(
            "verify-backup", {"backup": name}, "command", started=began, result=result, error=fault
        )


def _name(run: Row) -> str:
    """Of the backup that a run read; a run that chose the newest says which only in its result."""
    given = run["arguments"].get("backup") or (run["result"] or {}).get("name")
    return str(given or "")
