"""All that has to do with who gets in, behind one object: for the server's routes and pages.

Every method may block on sqlite or on the identity process: call them in threads.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError
from retaild.api.identity import Identity, Role
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime.access import audit
from retaild.runtime.access.caller import Caller, current_caller
from retaild.runtime.access.errors import (
    AccessError,
    ForbiddenError,
    IdentityDownError,
    ThrottledError,
)
from retaild.runtime.access.identity import IdentityClient
from retaild.runtime.access.keys import ApiKeys
from retaild.runtime.access.limiter import LoginLimiter, keys_of
from retaild.runtime.access.permissions import permissions_of
from retaild.runtime.access.refusals import Refusals
from retaild.runtime.access.secret import Signer
from retaild.runtime.access.sessions import Sessions
from retaild.runtime.access.verifier import Verifier
from retaild.runtime.state import State

#: An attempt to sign in may take so long, in seconds.
ATTEMPT_SECONDS = 600.0
#: A browser is known so long after it was signed in.
BROWSER_SECONDS = 90 * 86_400.0


class LoginError(AccessError):
    key = "access.login"

    def __init__(self) -> None:
        super().__init__(
            "The name or the password is wrong, or the user is disabled.",
            hint="An administrator can set a new password.",
        )


class AttemptError(AccessError):
    key = "access.attempt"

    def __init__(self) -> None:
        super().__init__(
            "This attempt to sign in is too old, or was begun in another browser.",
            hint="Sign in once more.",
        )


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`token` is for the session's cookie, `browser` for the mark of a known browser."""

    token: str
    browser: str


@dataclass
class AccessDesk:
    settings: Settings
    data: DataDir
    state: State
    limiter: LoginLimiter = field(default_factory=LoginLimiter)

    def __post_init__(self) -> None:
        access = self.settings.access
        self.identity = IdentityClient(self.data)
        self.keys = ApiKeys(self.state)
        self.sessions = Sessions(
            self.state, access.session_idle_minutes * 60, access.session_hours * 3600
        )
        self.signer = Signer(self.data.root / "secrets" / "signing-key")
        self.verifier = Verifier(self.keys, self.sessions, self._bearer)
        self.refusals = Refusals(self.state)
        self._abilities: dict[str, Any] = {}
        self._peopled = False

    @property
    def required(self) -> bool:
        return self.settings.access_required

    @property
    def secure(self) -> bool:
        return self.settings.api.secure

    # -- signing in ----------------------------------------------------------------------------

    def abilities(self) -> dict[str, Any]:
        """Of the provider. Raises IdentityDownError."""
        if not self._abilities:
            self._abilities = self.identity.abilities()
        return self._abilities

    def nobody_yet(self) -> bool:
        """Whether the provider keeps users here and has none."""
        if not self._peopled:
            self._peopled = not self.abilities()["directory"] or bool(self.identity.users())
        return not self._peopled

    def login(self, name: str, password: str, address: str, browser: str) -> SignedIn:
        """Raises LoginError, ThrottledError, IdentityDownError."""
        known = self.signer.read("browser", browser)
        mark = browser if known and known.get("name") == name.casefold() else ""
        keys = keys_of(name, address, hashlib.sha256(mark.encode()).hexdigest() if mark else "")
        try:
            self.limiter.attempt(keys)
        except ThrottledError:
            # The provider is not asked who that is: a flood must cost nothing.
            self.refusals.note("", address, "too many attempts")
            raise
        try:
            identity = self.identity.login(name, password)
        except IdentityDownError:
            self.limiter.succeeded(keys)
            raise
        if identity is None:
            self.refusals.note(self._known(name), address, "wrong name or password, or disabled")
            raise LoginError
        self.limiter.succeeded(keys)
        value = {"name": name.casefold(), "id": secrets.token_hex(8)}
        fresh = self.signer.sign("browser", value, BROWSER_SECONDS)
        return SignedIn(self._enter(identity, address), mark or fresh)

    def attempt(self, onward: str) -> tuple[str, dict[str, str]]:
        """A signed cookie that binds an attempt to this browser, and what it holds."""
        value = {
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "next": onward,
        }
        return self.signer.sign("attempt", value, ATTEMPT_SECONDS), value

    def begun(self, cookie: str) -> str:
        """The state of an attempt that is still good; empty if it is not."""
        value = self.signer.read("attempt", cookie)
        return "" if value is None else str(value["state"])

    def attempted(self, cookie: str, state: str) -> dict[str, str]:
        """What the attempt's cookie holds. Raises AttemptError unless `state` is its own."""
        value = self.signer.read("attempt", cookie)
        if value is None or not secrets.compare_digest(value["state"].encode(), state.encode()):
            raise AttemptError
        return value

    def begin(self, redirect_uri: str, attempt: dict[str, str]) -> str:
        """Where to send the browser, to sign in with the provider."""
        hashed = hashlib.sha256(attempt["verifier"].encode()).digest()
        challenge = urlsafe_b64encode(hashed).rstrip(b"=").decode()
        return self.identity.begin(redirect_uri, attempt["state"], attempt["nonce"], challenge)

    def finish(self, redirect_uri: str, code: str, attempt: dict[str, str], address: str) -> str:
        """The session's token, for who came back with `code`. Raises LoginError."""
        identity = self.identity.finish(redirect_uri, code, attempt["nonce"], attempt["verifier"])
        if identity is None:
            self.refusals.note("", address, "the identity provider did not confirm the sign-in")
            raise LoginError
        return self._enter(identity, address)

    def _known(self, name: str) -> str:
        """The name as the provider keeps it; empty if it has no such user, or cannot say."""
        try:
            return str(self._user(name).get("name", "")) if self.abilities()["directory"] else ""
        except RetaildError:
            return ""

    def _enter(self, identity: Identity, address: str) -> str:
        provider = self.settings.identity.plugin
        if current_caller().session:
            self.sessions.end_digest(current_caller().session)
            self.verifier.forget()
        token = self.sessions.begin(identity, provider, address)
        after = {"address": address, "provider": provider, "roles": sorted(identity.roles)}
        audit.record(
            self.state, f"user {identity.name}", "session.begin", identity.name, via="web",
            after=after,
        )  # fmt: skip
        return token

    def logout(self, caller: Caller, redirect_uri: str) -> str | None:
        """End the caller's session; where the provider wants the browser, to end its own."""
        handle = self.sessions.provider_session(caller.session)
        self.sessions.end_digest(caller.session)
        self.verifier.forget()
        before = {"session": caller.session.hex()[:16]}
        audit.record(self.state, caller.who, "session.end", caller.name, via="web", before=before)
        try:
            if not self.abilities()["codes"]:
                return None
            return self.identity.logout(handle, redirect_uri)
        except AccessError:  # ours is ended; the provider's ends by itself
            return None

    def _bearer(self, token: str) -> tuple[Caller, float | None] | None:
        if not self.abilities()["bearer_tokens"]:
            return None
        identity = self.identity.bearer(token)
        if identity is None:
            return None
        caller = Caller(
            f"user {identity.name}", "api", permissions_of(identity.roles), identity.name,
            frozenset(identity.roles),
        )  # fmt: skip
        return caller, identity.expires

    # -- users ---------------------------------------------------------------------------------

    def users(self) -> list[dict[str, Any]]:
        """Raises RefusedError if the provider keeps its users elsewhere."""
        return self.identity.users()

    def add_user(self, name: str, password: str, roles: frozenset[Role]) -> dict[str, Any]:
        self.identity.add_user(name, password, roles)
        audit.note(name, after={"roles": sorted(roles)})
        return self._user(name)

    def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: frozenset[Role] | None = None,
        disabled: bool | None = None,
    ) -> dict[str, Any]:
        """What changes ends the user's sessions: he signs in again as what he is now."""
        before = self._user(name)
        self.identity.change_user(name, password=password, roles=roles, disabled=disabled)
        after = self._user(name)
        self._end_sessions(before)
        changed = [key for key in ("roles", "disabled") if before.get(key) != after.get(key)]
        was = {key: before[key] for key in changed}
        now = {key: after[key] for key in changed}
        audit.note(
            name, before=was, after=now | ({} if password is None else {"password": "changed"})
        )
        return after

    def remove_user(self, name: str) -> None:
        before = self._user(name)
        self.identity.remove_user(name)
        self._end_sessions(before)
        audit.note(name, before={"roles": before.get("roles")})

    def _user(self, name: str) -> dict[str, Any]:
        """{} if there is none: the provider itself says so when it is asked to change him."""
        same = (user for user in self.users() if user["name"].casefold() == name.casefold())
        return next(same, {})

    def _end_sessions(self, user: dict[str, Any]) -> None:
        if "subject" in user:
            self.sessions.end_all(str(user["subject"]))
        self.verifier.forget()

    # -- keys and sessions ---------------------------------------------------------------------

    def create_key(
        self, name: str, scopes: list[str], days: float | None
    ) -> tuple[dict[str, Any], str]:
        """The key and its token, which is shown now or never. Nobody hands on more than he has."""
        caller = current_caller()
        beyond = [scope for scope in scopes if not caller.may(scope)]
        if beyond:
            raise ForbiddenError(caller.who, beyond[0])
        key_id, token = self.keys.create(name, scopes, caller.who, days)
        key = self.keys.get(key_id)
        audit.note(key_id, after={name: key[name] for name in ("name", "scopes", "expires")})
        return key, token

    def revoke_key(self, key_id: str) -> None:
        before = self.keys.get(key_id)
        self.keys.revoke(key_id)
        self.verifier.forget()
        audit.note(key_id, before={name: before[name] for name in ("name", "scopes", "expires")})

    def end_session(self, session_id: str) -> None:
        ended = self.sessions.end(session_id)
        self.verifier.forget()
        audit.note(session_id, before={name: ended[name] for name in ("name", "address")})

    def own_session_id(self) -> str:
        """As `sessions.list` names it; empty without one."""
        return current_caller().session.hex()[:16]
