"""The access desk for routes and pages: what blocks runs in threads of its own.

Signing in may wait for an identity provider that is slow; it must not hold up the others' threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from retaild.api.identity import Role
from retaild.runtime.access import audit
from retaild.runtime.access.caller import current_caller
from retaild.runtime.access.desk import AccessDesk, SignedIn
from retaild.runtime.access.errors import IdentityDownError
from retaild.runtime.access.permissions import PERMISSIONS

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
#: So many may wait for them; more are sent away at once.
WAITING = 32


@dataclass
class AccessData:
    """Lives in the event loop. Methods are those of AccessDesk."""

    desk: AccessDesk
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="access")
    )
    _busy: int = 0

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._busy >= THREADS + WAITING:
            raise IdentityDownError("too many people ask at once")
        self._busy += 1
        try:
            loop = asyncio.get_running_loop()
            context = copy_context()
            return await loop.run_in_executor(
                self._threads, partial(context.run, partial(call, *args, **kwargs))
            )
        finally:
            self._busy -= 1

    @property
    def required(self) -> bool:
        return self.desk.required

    @property
    def secure(self) -> bool:
        return self.desk.secure

    @property
    def public_url(self) -> str:
        return self.desk.settings.api.url

    @property
    def permissions(self) -> dict[str, str]:
        return {str(name): text for name, text in PERMISSIONS.items()}

    # -- signing in ----------------------------------------------------------------------------

    async def abilities(self) -> dict[str, Any]:
        return await self._in_thread(self.desk.abilities)

    async def nobody_yet(self) -> bool:
        return await self._in_thread(self.desk.nobody_yet)

    async def login(self, name: str, password: str, address: str, browser: str) -> SignedIn:
        return await self._in_thread(self.desk.login, name, password, address, browser)

    def attempt(self, onward: str) -> tuple[str, dict[str, str]]:
        return self.desk.attempt(onward)

    def begun(self, cookie: str) -> str:
        return self.desk.begun(cookie)

    def attempted(self, cookie: str, state: str) -> dict[str, str]:
        return self.desk.attempted(cookie, state)

    async def begin(self, redirect_uri: str, attempt: dict[str, str]) -> str:
        return await self._in_thread(self.desk.begin, redirect_uri, attempt)

    async def finish(
        self, redirect_uri: str, code: str, attempt: dict[str, str], address: str
    ) -> str:
        return await self._in_thread(self.desk.finish, redirect_uri, code, attempt, address)

    async def logout(self, redirect_uri: str) -> str | None:
        return await self._in_thread(self.desk.logout, current_caller(), redirect_uri)

    # -- users, keys, sessions, the audit log -----------------------------------------------------

    async def users(self) -> list[dict[str, Any]]:
        return await self._in_thread(self.desk.users)

    async def add_user(self, name: str, password: str, roles: frozenset[Role]) -> dict[str, Any]:
        return await self._in_thread(self.desk.add_user, name, password, roles)

    async def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: frozenset[Role] | None = None,
        disabled: bool | None = None,
    ) -> dict[str, Any]:
        return await self._in_thread(
            self.desk.change_user, name, password=password, roles=roles, disabled=disabled
        )

    async def remove_user(self, name: str) -> None:
        await self._in_thread(self.desk.remove_user, name)

    async def keys(self) -> list[dict[str, Any]]:
        return await self._in_thread(self.desk.keys.list)

    async def create_key(
        self, name: str, scopes: list[str], days: float | None
    ) -> tuple[dict[str, Any], str]:
        return await self._in_thread(self.desk.create_key, name, scopes, days)

    async def revoke_key(self, key_id: str) -> None:
        await self._in_thread(self.desk.revoke_key, key_id)

    async def sessions(self) -> list[dict[str, Any]]:
        return await self._in_thread(self.desk.sessions.list)

    async def end_session(self, session_id: str) -> None:
        await self._in_thread(self.desk.end_session, session_id)

    async def audit(
        self, *, who: str, what: str, search: str, limit: int, offset: int
    ) -> dict[str, Any]:
        return await self._in_thread(
            audit.entries, self.desk.state, who=who, what=what, search=search, limit=limit,
            offset=offset,
        )  # fmt: skip

    async def audit_kinds(self) -> dict[str, list[str]]:
        return await self._in_thread(audit.kinds, self.desk.state)
