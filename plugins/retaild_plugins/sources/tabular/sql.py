"""DuckDB as a library of vectorised text functions; no tables, no files."""

from __future__ import annotations

import threading
from typing import Any

import duckdb

_local = threading.local()


def connection() -> Any:
    """An in-memory database of this thread's own, on one core, that cannot reach outside."""
    found = getattr(_local, "connection", None)
    if found is None:
        found = _local.connection = duckdb.connect(
            config={
                "threads": 1,
                "enable_external_access": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
    return found


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
