"""The users, in a sqlite file of their own that only its owner may read."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
    subject TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, hash TEXT NOT NULL,
    roles TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL,
    password_set REAL NOT NULL, last_login REAL)
"""
Row = dict[str, Any]


class UserStore:
    """One connection, one call at a time; each change is durable when the call returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = os.umask(0o077)
        try:
            connection = sqlite3.connect(
                self._path, timeout=10, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(_SCHEMA)
        finally:
            os.umask(before)
        self._open = connection

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def find(self, name: str) -> Row | None:
        """By name; upper and lower case of ASCII letters make no difference."""
        rows = self._rows("SELECT * FROM user WHERE name = ?", name)
        return rows[0] if rows else None

    def all(self) -> list[Row]:
        return self._rows("SELECT * FROM user ORDER BY name")

    def add(self, row: Row) -> bool:
        """False if the name is taken."""
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        with self.changing() as connection:
            cursor = connection.execute(
                f"INSERT OR IGNORE INTO user ({names}) VALUES ({marks})", list(row.values())
            )
            return cursor.rowcount == 1

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: what is read in it is still so when it writes."""
        with self._lock:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _rows(self, sql: str, *values: Any) -> list[Row]:
        with self._lock:
            return [dict(row) for row in self._connection().execute(sql, values)]

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            raise RuntimeError("the store of users is not open")
        return self._open
