"""Kind `identity`: says who somebody is, and which roles they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from retaild.api.base import Spec

Role = Literal["viewer", "operator", "admin"]
#: Least first; each may do all that the one before it may.
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who proved who they are.

    `subject` never changes and is never given to somebody else; `name` is for people. `session`
    is the provider's own handle of its session (an ID token, say), handed back at `logout`.
    `expires` is when the provider wants to be asked again (seconds since the epoch, UTC).
    """

    subject: str
    name: str
    roles: frozenset[Role]
    session: Mapping[str, str] = field(default_factory=dict)
    expires: float | None = None


class IdentityProvider(Protocol):
    """All methods may block for some seconds; the host calls them in a process of their own.

    A provider has the abilities that its Spec states; the methods of others are not called.
    """

    def open(self) -> None:
        """Touch the world. Raises TransientError while the provider cannot be reached."""

    def close(self) -> None:
        """Let go of everything; also after a failed `open`."""


class PasswordLogin(Protocol):
    def login(self, username: str, password: str) -> Identity | None:
        """None for a wrong name or a wrong password alike, after the same time."""


class CodeLogin(Protocol):
    """OpenID Connect's authorization code flow with PKCE (RFC 7636)."""

    def begin(self, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """The address to send the browser to. `challenge` is the S256 code challenge."""

    def finish(self, redirect_uri: str, code: str, nonce: str, verifier: str) -> Identity | None:
        """Who came back with `code`; None if it is not good (any more)."""

    def logout(self, session: Mapping[str, str], redirect_uri: str) -> str | None:
        """End the provider's session; the address to send the browser to, if there is one."""


class BearerTokens(Protocol):
    def bearer(self, token: str) -> Identity | None:
        """Whose access token this is; None if it is not good: signature, issuer, audience, time."""


class UserDirectory(Protocol):
    """A provider whose users are kept here. Raises RetaildError with what is wrong."""

    def users(self) -> list[Mapping[str, object]]:
        """name, roles, disabled, created, last_login; never a password or its hash."""

    def add_user(self, name: str, password: str, roles: frozenset[Role]) -> None: ...

    def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: frozenset[Role] | None = None,
        disabled: bool | None = None,
    ) -> None: ...

    def remove_user(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProviderSpec(Spec):
    """Registers an identity provider. `build` returns an IdentityProvider."""

    passwords: bool = False
    codes: bool = False
    bearer_tokens: bool = False
    directory: bool = False
