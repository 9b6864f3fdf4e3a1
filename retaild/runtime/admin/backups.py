"""Backups in the configured directory, and what came of the last look at each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retaild.config.settings import Settings
from retaild.runtime.backup.service import listed
from retaild.runtime.state import Row, State

#: When backups were read, the latest first. A run that chose the newest backup says which one that
#: was only in its result.
LOOKS = (
    "SELECT coalesce(json_extract(arguments, '$.backup'), json_extract(result, '$.name'), '') "
    "AS name, finished, coalesce(error, '') AS fault FROM job_run WHERE kind = 'verify-backup' "
    "AND state IN ('succeeded', 'failed') ORDER BY finished DESC, id DESC LIMIT 500"
)


def backups(settings: Settings, state: State) -> dict[str, Any]:
    """`directory` (empty: not configured) and `backups`, newest first.

    `verified` of each: when it was last read whole, by the job `verify-backup` or by `retaildctl
    backup verify`, and the fault that was found.
    """
    if not settings.backup.directory:
        return {"directory": "", "backups": []}
    folder = settings.base_dir / settings.backup.directory
    verified = last_looks(state.rows(LOOKS))
    rows = [{**row, "verified": verified.get(row["name"])} for row in listed(folder)]
    return {"directory": str(folder), "backups": rows}


def last_looks(looks: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Of the rows of LOOKS: name -> `at` (seconds, UTC) and `fault`, empty if it was whole."""
    last: dict[str, dict[str, Any]] = {}
    for look in looks:
        last.setdefault(look["name"], {"at": look["finished"], "fault": look["fault"]})
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
