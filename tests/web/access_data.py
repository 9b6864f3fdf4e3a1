"""People, keys and the audit log in memory, for the pages' tests."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from retaild.api.identity import Role
from retaild.runtime.access.desk import SignedIn
from retaild.runtime.access.permissions import PERMISSIONS

HOSTILE = '<script>alert("audit")</script>'


def _user(name: str, role: str, disabled: bool = False) -> dict[str, Any]:
    now = time.time()
    return {"name": name, "roles": [role], "disabled": disabled, "created": now, "last_login": None}


def _entry(number: int, what: str, target: str, before: Any, after: Any) -> dict[str, Any]:
    return {
        "id": number, "at": time.time() - 60 * number, "who": "user ada", "via": "web",
        "what": what, "target": target, "before": before, "after": after,
        "request_id": "", "digest": "0" * 64,
    }  # fmt: skip


@dataclass
class FakeAccess:
    required: bool = False
    secure: bool = False
    public_url: str = ""
    people: list[dict[str, Any]] = field(
        default_factory=lambda: [_user("ada", "admin"), _user("vera", "viewer", disabled=True)]
    )

    @property
    def permissions(self) -> dict[str, str]:
        return {str(name): text for name, text in PERMISSIONS.items()}

    async def abilities(self) -> dict[str, Any]:
        return {"plugin": "local", "passwords": True, "codes": False, "directory": True}

    async def nobody_yet(self) -> bool:
        return not self.people

    async def login(self, name: str, password: str, address: str, browser: str) -> SignedIn:
        return SignedIn("token", "browser")

    def attempt(self, onward: str) -> tuple[str, dict[str, str]]:
        return "cookie", {"state": "state", "next": onward}

    def begun(self, cookie: str) -> str:
        return "state" if cookie == "cookie" else ""

    def attempted(self, cookie: str, state: str) -> dict[str, str]:
        return {"state": state, "next": ""}

    async def begin(self, redirect_uri: str, attempt: dict[str, str]) -> str:
        return "https://identity.example/"

    async def finish(
        self, redirect_uri: str, code: str, attempt: dict[str, str], address: str
    ) -> str:
        return "token"

    async def logout(self, redirect_uri: str) -> str | None:
        return None

    async def users(self) -> list[dict[str, Any]]:
        return self.people

    async def add_user(self, name: str, password: str, roles: frozenset[Role]) -> None:
        self.people.append(_user(name, "".join(sorted(roles))))

    async def change_user(
        self, name: str, *, password: str | None = None, roles: frozenset[Role] | None = None,
        disabled: bool | None = None,
    ) -> None:  # fmt: skip
        user = next(user for user in self.people if user["name"] == name)
        if disabled is not None:
            user["disabled"] = disabled
        if roles is not None:
            user["roles"] = sorted(roles)

    async def remove_user(self, name: str) -> None:
        self.people = [user for user in self.people if user["name"] != name]

    async def keys(self) -> list[dict[str, Any]]:
        now = time.time()
        key = {"id": "a66ba704dfe1", "name": "web-shop", "scopes": ["ingest", "recommend"],
               "created": now, "created_by": "user ada", "expires": now + 86_400,
               "revoked": None, "last_used": None}  # fmt: skip
        return [key, {**key, "id": "b66ba704dfe1", "name": "old till", "revoked": now}]

    async def create_key(
        self, name: str, scopes: list[str], days: float | None
    ) -> tuple[dict[str, Any], str]:
        return {"id": "c66ba704dfe1", "name": name}, "retaild_c66ba704dfe1_secret"

    async def revoke_key(self, key_id: str) -> None: ...

    async def sessions(self) -> list[dict[str, Any]]:
        now = time.time()
        return [{"id": "0123456789abcdef", "name": "ada", "roles": ["admin"], "provider": "local",
                 "created": now, "last_seen": now, "expires": now,
                 "address": "192.0.2.7"}]  # fmt: skip

    async def end_session(self, session_id: str) -> None: ...

    async def audit(
        self, *, who: str, what: str, search: str, limit: int, offset: int
    ) -> dict[str, Any]:
        entries = [
            _entry(1, "price.approve", "p-1", {"price": 2.1}, {"price": 1.95}),
            _entry(2, "user.add", HOSTILE, None, {"roles": ["viewer"]}),
        ]
        found = [e for e in entries if what in ("", e["what"]) and search in e["target"]]
        return {"entries": found, "total": len(found)}

    async def audit_kinds(self) -> dict[str, list[str]]:
        return {"who": ["user ada"], "what": ["price.approve", "user.add"]}
