"""What the cookies are called. With the prefix, browsers take them over TLS from this host only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class CookieNames:
    """`session`: who is signed in; `attempt`: signing in, begun; `browser`: signed in before."""

    session: str
    attempt: str
    browser: str

    @classmethod
    def of(cls, secure: bool) -> Self:
        """`secure`: the browser speaks TLS with us."""
        prefix = "__Host-retaild" if secure else "retaild"
        return cls(f"{prefix}_session", f"{prefix}_attempt", f"{prefix}_browser")
