"""Who is asking: known for the time of one request or one command."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from retaild.runtime.access.permissions import PERMISSIONS, Permission

ALL: frozenset[Permission] = frozenset(PERMISSIONS)


@dataclass(frozen=True, slots=True)
class Caller:
    """`who` as the audit log names it: "user ann", "key web-shop", "system user root".

    `session` is the digest of the browser's session, `csrf` its token; empty without a session.
    """

    who: str
    via: str
    permissions: frozenset[Permission]
    name: str = ""
    roles: frozenset[str] = frozenset()
    session: bytes = b""
    csrf: str = ""

    def may(self, permission: str) -> bool:
        return permission in self.permissions


#: Whoever reaches a server that only this machine can reach and that asks nobody to sign in.
ANYONE = Caller("anyone on this machine", "api", ALL)
#: The host itself: nobody asked.
HOST = Caller("retaild", "host", ALL)

_current: ContextVar[Caller] = ContextVar("caller", default=HOST)


def set_caller(caller: Caller) -> None:
    """For the rest of this request's context."""
    _current.set(caller)


def current_caller() -> Caller:
    """Whose request is being answered; HOST outside of any."""
    return _current.get()


def named(stated: str) -> str:
    """Who decides: the signed-in caller; who is not signed in is who he says he is (`stated`)."""
    caller = current_caller()
    return stated if caller in (ANYONE, HOST) or caller.via == "command" else caller.who
