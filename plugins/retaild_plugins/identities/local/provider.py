"""Users with passwords, kept on this machine."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from retaild.api.identity import Identity, Role
from retaild_plugins.identities.local.config import LocalConfig
from retaild_plugins.identities.local.errors import (
    LastAdminError,
    UnknownUserError,
    UserExistsError,
    UserNameError,
)
from retaild_plugins.identities.local.passwords import MAX_LENGTH, check_password
from retaild_plugins.identities.local.store import UserStore

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")


class LocalIdentity:
    """An IdentityProvider with PasswordLogin and UserDirectory; safe for several threads."""

    def __init__(self, config: LocalConfig, directory: Path) -> None:
        self._minimum = config.minimum_length
        self._hasher = PasswordHasher(config.passes, config.memory_mib * 1024, config.lanes)
        self._store = UserStore(directory / "users.db")
        self._nobody = ""

    def open(self) -> None:
        self._store.open()
        # Compared with where there is no user, so that the answer takes as long.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def close(self) -> None:
        self._store.close()

    def login(self, username: str, password: str) -> Identity | None:
        row = self._store.find(username) if _NAME.match(username) else None
        stored = row["hash"] if row else self._nobody
        if not self._fits(stored, password[: MAX_LENGTH + 1]) or row is None or row["disabled"]:
            return None
        self._note_login(row["subject"], stored, password)
        return Identity(row["subject"], row["name"], frozenset(json.loads(row["roles"])))

    def _fits(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def _note_login(self, subject: str, stored: str, password: str) -> None:
        """Make the hash anew if the parameters have grown since; a changed password stays."""
        grown = self._hasher.check_needs_rehash(stored)
        fresh = self._hasher.hash(password) if grown else stored
        with self._store.changing() as connection:
            connection.execute(
                "UPDATE user SET last_login = ?, hash = CASE hash WHEN ? THEN ? ELSE hash END "
                "WHERE subject = ?",
                [time.time(), stored, fresh, subject],
            )

    def users(self) -> list[Mapping[str, object]]:
        return [
            {
                "name": row["name"],
                "subject": row["subject"],
                "roles": json.loads(row["roles"]),
                "disabled": bool(row["disabled"]),
                "created": row["created"],
                "last_login": row["last_login"],
            }
            for row in self._store.all()
        ]

    def add_user(self, name: str, password: str, roles: frozenset[Role]) -> None:
        if not _NAME.match(name):
            raise UserNameError
        check_password(name, password, self._minimum)
        now = time.time()
        row = {
            # Never given to anybody else, even if the name is.
            "subject": secrets.token_hex(16),
            "name": name,
            "hash": self._hasher.hash(password),
            "roles": json.dumps(sorted(roles)),
            "created": now,
            "password_set": now,
        }
        if not self._store.add(row):
            raise UserExistsError(name)

    def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: frozenset[Role] | None = None,
        disabled: bool | None = None,
    ) -> None:
        columns: dict[str, object] = {}
        if password is not None:
            check_password(name, password, self._minimum)
            columns |= {"hash": self._hasher.hash(password), "password_set": time.time()}
        if roles is not None:
            columns["roles"] = json.dumps(sorted(roles))
        if disabled is not None:
            columns["disabled"] = int(disabled)
        with self._store.changing() as connection:
            _require(connection, name)
            if disabled or (roles is not None and "admin" not in roles):
                _keep_an_admin(connection, name)
            for column, value in columns.items():
                connection.execute(f"UPDATE user SET {column} = ? WHERE name = ?", [value, name])

    def remove_user(self, name: str) -> None:
        with self._store.changing() as connection:
            _require(connection, name)
            _keep_an_admin(connection, name)
            connection.execute("DELETE FROM user WHERE name = ?", [name])


def _require(connection: sqlite3.Connection, name: str) -> None:
    if not connection.execute("SELECT 1 FROM user WHERE name = ?", [name]).fetchone():
        raise UnknownUserError(name)


def _keep_an_admin(connection: sqlite3.Connection, name: str) -> None:
    """Raises LastAdminError if nobody but `name` could administer."""
    admins = [
        row["name"].casefold()
        for row in connection.execute("SELECT name, roles FROM user WHERE disabled = 0")
        if "admin" in json.loads(row["roles"])
    ]
    if admins == [name.casefold()]:
        raise LastAdminError(name)
