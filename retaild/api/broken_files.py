"""Databases that cannot be read: found out before they are used, set aside, never deleted."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from retaild.api.lake_tail import set_aside

_log = logging.getLogger(__name__)


def database_fault(path: Path) -> str:
    """What sqlite says against a file; empty if nothing, or if there is none."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # busy or not ours: no word on its soundness
        return ""
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if verdict == "ok" else str(verdict).splitlines()[-1]


def set_aside_if_broken(path: Path, lost: str) -> str:
    """Rename a broken database that can be made anew; why, or an empty text. `lost`: a sentence."""
    fault = database_fault(path)
    if fault:
        kept = set_aside(path)
        for companion in ("-wal", "-shm", "-journal"):
            beside = path.with_name(f"{path.name}{companion}")
            if beside.exists():
                set_aside(beside)
        _log.error("%s cannot be read (%s) and is kept as %s. %s", path, fault, kept.name, lost)
    return fault
