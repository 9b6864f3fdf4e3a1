"""What the pages of access ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from retaild.api.identity import Role
from retaild.runtime.access.desk import SignedIn


class AccessData(Protocol):
    """Methods are those of `retaild.runtime.access.desk`. Raises RetaildError."""

    @property
    def required(self) -> bool: ...

    @property
    def secure(self) -> bool: ...

    @property
    def public_url(self) -> str: ...

    @property
    def permissions(self) -> Mapping[str, str]:
        """Permission -> what it allows, in words."""

    async def abilities(self) -> Mapping[str, Any]:
        """plugin, passwords, codes, directory."""

    async def nobody_yet(self) -> bool: ...

    async def login(self, name: str, password: str, address: str, browser: str) -> SignedIn: ...

    def attempt(self, onward: str) -> tuple[str, dict[str, str]]: ...

    def begun(self, cookie: str) -> str:
        """The state of an attempt that is still good; empty if it is not."""

    def attempted(self, cookie: str, state: str) -> dict[str, str]: ...

    async def begin(self, redirect_uri: str, attempt: dict[str, str]) -> str: ...

    async def finish(
        self, redirect_uri: str, code: str, attempt: dict[str, str], address: str
    ) -> str: ...

    async def logout(self, redirect_uri: str) -> str | None: ...

    async def users(self) -> list[dict[str, Any]]: ...

    async def add_user(self, name: str, password: str, roles: frozenset[Role]) -> object: ...

    async def change_user(
        self, name: str, *, password: str | None = None, roles: frozenset[Role] | None = None,
        disabled: bool | None = None,
    ) -> object: ...  # fmt: skip

    async def remove_user(self, name: str) -> None: ...

    async def keys(self) -> list[dict[str, Any]]: ...

    async def create_key(
        self, name: str, scopes: list[str], days: float | None
    ) -> tuple[dict[str, Any], str]: ...

    async def revoke_key(self, key_id: str) -> None: ...

    async def sessions(self) -> list[dict[str, Any]]: ...

    async def end_session(self, session_id: str) -> None: ...

    async def audit(
        self, *, who: str, what: str, search: str, limit: int, offset: int
    ) -> dict[str, Any]: ...

    async def audit_kinds(self) -> dict[str, list[str]]: ...
