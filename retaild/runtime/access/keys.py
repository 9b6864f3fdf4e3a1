"""API keys: `retaild_<id>_<secret>`. Of the secret only a digest is kept.

Every call is one short transaction; times are seconds since the epoch (UTC).
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import Iterable
from typing import Any

from retaild.runtime.access.caller import ALL, Caller
from retaild.runtime.access.errors import KeySettingsError, UnknownKeyError
from retaild.runtime.access.permissions import PERMISSIONS
from retaild.runtime.access.secret import digest, new_token
from retaild.runtime.state import Row, State

PREFIX = "retaild_"
_TOKEN = re.compile(r"retaild_([a-z0-9-]{8,40})_([A-Za-z0-9_-]{43})\Z")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}\Z")
#: Keys of the command line: one per call, good for so many seconds.
SYSTEM_SECONDS = 120.0
_SYSTEM = "cli-"
#: `last_used` is written at most so often.
USED_SECONDS = 60.0
_DAY = 86_400.0


class ApiKeys:
    def __init__(self, state: State) -> None:
        self._state = state

    def create(
        self, name: str, scopes: Iterable[str], by: str, days: float | None = None
    ) -> tuple[str, str]:
        """(id, token). The token is shown now or never. Raises KeySettingsError."""
        wanted = sorted(set(scopes))
        unknown = [scope for scope in wanted if scope not in PERMISSIONS]
        if unknown or not wanted:
            said = f"There is no permission {unknown[0]!r}." if unknown else "It allows nothing."
            raise KeySettingsError(said, hint=f"Scopes: {', '.join(PERMISSIONS)}.")
        if not _NAME.match(name):
            raise KeySettingsError(
                "A key's name has 1 to 100 characters in one line.", hint="Say who uses the key."
            )
        if days is not None and not 0 < days <= 3660:
            raise KeySettingsError(
                "A key lives up to ten years.", hint="Leave the expiry out for one without an end."
            )
        expires = None if days is None else time.time() + days * _DAY
        from retaild.events.cards import mask  # each command makes a key, and few give it a name

        return self._add(secrets.token_hex(6), mask(name), wanted, by, expires)

    def create_for_system(self, user: str) -> str:
        """A token for a command that this operating system user just gave; it may do all.

        Who can write here owns the data directory. Nothing to see for others: it ends by itself.
        """
        self._forget_old()
        key_id = f"{_SYSTEM}{secrets.token_hex(6)}"
        until = time.time() + SYSTEM_SECONDS
        return self._add(key_id, user, sorted(ALL), f"system user {user}", until)[1]

    def _add(
        self, key_id: str, name: str, scopes: list[str], by: str, expires: float | None
    ) -> tuple[str, str]:
        token = f"{PREFIX}{key_id}_{new_token()}"
        with self._state.transaction(durably=not key_id.startswith(_SYSTEM)) as connection:
            connection.execute(
                "INSERT INTO api_key (id, digest, name, scopes, created, created_by, expires) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [key_id, digest(token), name, json.dumps(scopes), time.time(), by, expires],
            )
        return key_id, token

    def _forget_old(self) -> None:
        with self._state.transaction() as connection:
            connection.execute(
                "DELETE FROM api_key WHERE id LIKE ? AND expires < ?", [f"{_SYSTEM}%", time.time()]
            )

    def list(self) -> list[dict[str, Any]]:
        """Newest first; neither secrets nor digests, and not those of single commands."""
        return [
            {key: value for key, value in row.items() if key != "digest"}
            for row in self._state.rows(
                "SELECT * FROM api_key WHERE id NOT LIKE ? ORDER BY created DESC", [f"{_SYSTEM}%"]
            )
        ]

    def get(self, key_id: str) -> dict[str, Any]:
        """Raises UnknownKeyError."""
        for row in self.list():
            if row["id"] == key_id:
                return row
        raise UnknownKeyError(key_id)

    def revoke(self, key_id: str) -> None:
        """From now on it opens nothing; it stays in the list. Raises UnknownKeyError."""
        with self._state.transaction(durably=True) as connection:
            cursor = connection.execute(
                "UPDATE api_key SET revoked = coalesce(revoked, ?) WHERE id = ?",
                [time.time(), key_id],
            )
            if not cursor.rowcount:
                raise UnknownKeyError(key_id)

    def find(self, token: str) -> tuple[Caller, float | None] | None:
        """Whose key this is, and when it expires; None if it is none, ended or was revoked."""
        match = _TOKEN.match(token)
        if match is None:
            return None
        row = self._state.row("SELECT * FROM api_key WHERE id = ?", [match[1]])
        now = time.time()
        if row is None or not hmac.compare_digest(row["digest"], digest(token)):
            return None
        if row["revoked"] is not None or (row["expires"] is not None and row["expires"] <= now):
            return None
        self._note_use(row, now)
        return _caller(row), row["expires"]

    def _note_use(self, row: Row, now: float) -> None:
        if now - (row["last_used"] or 0.0) < USED_SECONDS:
            return
        with self._state.transaction() as connection:
            connection.execute("UPDATE api_key SET last_used = ? WHERE id = ?", [now, row["id"]])


def _caller(row: Row) -> Caller:
    permissions = frozenset(scope for scope in row["scopes"] if scope in PERMISSIONS)
    if row["id"].startswith(_SYSTEM):
        return Caller(f"system user {row['name']}", "command", permissions, row["name"])
    return Caller(f"key {row['name']} ({row['id']})", "api", permissions, row["name"])
