"""Sessions of browsers. The cookie holds a random token, the state only its digest.

Every call is one short transaction; times are seconds since the epoch (UTC).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from retaild.api.identity import Identity
from retaild.runtime.access.caller import Caller
from retaild.runtime.access.errors import UnknownSessionError
from retaild.runtime.access.permissions import permissions_of
from retaild.runtime.access.secret import digest, new_token
from retaild.runtime.state import Row, State

#: `last_seen` is written at most so often.
SEEN_SECONDS = 30.0
#: Seen so far in the future means: the clock was set back.
CLOCK_SLACK = 60.0
#: One person has at most so many; the oldest ends.
PER_SUBJECT = 20


@dataclass(frozen=True)
class Sessions:
    """`idle_seconds` without a request end a session, and `seconds` do whatever happens."""

    state: State
    idle_seconds: float
    seconds: float

    def begin(self, identity: Identity, provider: str, address: str) -> str:
        """The token for the cookie. Also forgets sessions that have ended."""
        token, now = new_token(), time.time()
        expires = now + self.seconds
        if identity.expires is not None:
            expires = min(expires, identity.expires)
        with self.state.transaction(durably=True) as connection:
            connection.execute(
                "DELETE FROM session WHERE expires <= ? OR last_seen <= ?",
                [now, now - self.idle_seconds],
            )
            connection.execute(
                "INSERT INTO session (digest, subject, name, roles, provider, provider_session, "
                "created, last_seen, expires, csrf, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
                "?, ?)",
                [
                    digest(token), identity.subject, identity.name,
                    json.dumps(sorted(identity.roles)), provider,
                    json.dumps(dict(identity.session)), now, now, expires, new_token(), address,
                ],
            )  # fmt: skip
            connection.execute(
                "DELETE FROM session WHERE subject = ? AND digest NOT IN (SELECT digest FROM "
                "session WHERE subject = ? ORDER BY created DESC LIMIT ?)",
                [identity.subject, identity.subject, PER_SUBJECT],
            )
        return token

    def find(self, token: str) -> tuple[Caller, float] | None:
        """Whose session this is, and when it ends unless it is used; None if it has ended."""
        found, now = digest(token), time.time()
        row = self.state.row("SELECT * FROM session WHERE digest = ?", [found])
        if row is None or row["expires"] <= now or row["last_seen"] <= now - self.idle_seconds:
            return None
        if row["last_seen"] > now + CLOCK_SLACK:
            row = {**row, "expires": self._set_back(row, now)}
        elif now - row["last_seen"] > min(SEEN_SECONDS, self.idle_seconds / 4):
            with self.state.transaction() as connection:
                connection.execute(
                    "UPDATE session SET last_seen = ? WHERE digest = ?", [now, found]
                )
        return _caller(row), min(row["expires"], now + self.idle_seconds)

    def _set_back(self, row: Row, now: float) -> float:
        """The clock was set back since it was used: it lives no longer for that. New end."""
        expires = min(row["expires"], now + self.seconds)
        with self.state.transaction() as connection:
            connection.execute(
                "UPDATE session SET last_seen = ?, expires = ? WHERE digest = ?",
                [now, expires, row["digest"]],
            )
        return float(expires)

    def alive(self, session: bytes) -> bool:
        """Whether it has not ended; asking keeps it alive no longer."""
        row = self.state.row("SELECT expires, last_seen FROM session WHERE digest = ?", [session])
        now = time.time()
        return (
            row is not None and row["expires"] > now and row["last_seen"] > now - self.idle_seconds
        )

    def provider_session(self, session: bytes) -> dict[str, str]:
        """The provider's own handle, for its logout."""
        row = self.state.row("SELECT provider_session FROM session WHERE digest = ?", [session])
        return dict((row or {}).get("provider_session") or {})

    def list(self) -> list[dict[str, Any]]:
        """Those that have not ended, newest first; `id` is good for `end` and opens nothing."""
        now = time.time()
        rows = self.state.rows(
            "SELECT * FROM session WHERE expires > ? AND last_seen > ? ORDER BY created DESC",
            [now, now - self.idle_seconds],
        )
        return [_shown(row) for row in rows]

    def end(self, session_id: str) -> dict[str, Any]:
        """End one, by its id in `list`; what it was. Raises UnknownSessionError."""
        for row in self.state.rows("SELECT * FROM session"):
            if _shown(row)["id"] == session_id:
                self.end_digest(row["digest"])
                return _shown(row)
        raise UnknownSessionError(session_id)

    def end_digest(self, session: bytes) -> None:
        with self.state.transaction(durably=True) as connection:
            connection.execute("DELETE FROM session WHERE digest = ?", [session])

    def end_all(self, subject: str) -> int:
        """End all sessions of somebody; how many there were."""
        with self.state.transaction(durably=True) as connection:
            return connection.execute("DELETE FROM session WHERE subject = ?", [subject]).rowcount


def _caller(row: Row) -> Caller:
    roles = frozenset(row["roles"])
    return Caller(
        f"user {row['name']}", "web", permissions_of(roles), row["name"], roles, row["digest"],
        row["csrf"],
    )  # fmt: skip


def _shown(row: Row) -> dict[str, Any]:
    kept = ("subject", "name", "roles", "provider", "created", "last_seen", "expires", "address")
    return {"id": row["digest"].hex()[:16], **{key: row[key] for key in kept}}
