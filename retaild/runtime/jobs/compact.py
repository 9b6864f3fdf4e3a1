"""Job `compact`: few large files in place of many small ones, and no files of old versions.

Appends go on meanwhile, and backups too: while one is made, no file is removed. Tables
that have one file per partition are left as they are. The stream's marker has no rows to look back
at: its log is kept for an hour only.
"""

from __future__ import annotations

import logging
from typing import Any

from retaild.api.lake import Lake
from retaild.pipeline.streams import PROGRESS_TABLE
from retaild.runtime.backup.locks import may_remove_files
from retaild.runtime.context import JobContext

_log = logging.getLogger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Per table the files that went and came; a table that fails does not stop the others."""
    lake, hours = context.lake(), context.settings.lake.vacuum_hours
    names = lake.names()
    tables: dict[str, Any] = {}
    for place, name in enumerate(names):
        if context.stop.is_set():
            break
        context.progress(place / len(names), name)
        with may_remove_files(context.data) as may:
            kept = 1 if name == PROGRESS_TABLE else hours
            tables[name] = compact(lake, name, kept, remove=may)
    context.progress(1.0, f"{len(tables)} tables")
    return {"tables": tables}


def compact(lake: Lake, name: str, vacuum_hours: int, *, remove: bool = True) -> dict[str, Any]:
    """Compact and vacuum one table; its old versions stay readable for `vacuum_hours`."""
    from deltalake.exceptions import DeltaError

    try:
        return lake.compact(name, vacuum_hours, remove=remove)
    except DeltaError as error:
        # Others kept replacing the very files: the next time will do.
        _log.warning("%s was not compacted: %s", name, error)
        return {"error": str(error)}
