"""Says whose key or cookie came in: from memory within microseconds, else from the state.

What a revocation in this process ends is ended at once; one by another process (the command line)
within `CACHE_SECONDS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from retaild.runtime.access.caller import Caller
from retaild.runtime.access.keys import PREFIX, ApiKeys
from retaild.runtime.access.secret import digest
from retaild.runtime.access.sessions import Sessions

CACHE_SECONDS = 5.0
#: Tokens of the identity provider are asked about again after so long at most.
BEARER_SECONDS = 60.0
#: So many are remembered; the one that was asked for first is forgotten.
MAX_CACHED = 4096

#: Whose token of the identity provider this is, and when it expires. May take seconds.
AskBearer = Callable[[str], tuple[Caller, float | None] | None]


@dataclass
class Verifier:
    """`known` never blocks; the `find_...` methods do, and belong into a thread."""

    keys: ApiKeys
    sessions: Sessions
    ask_bearer: AskBearer | None = None
    _cache: dict[bytes, tuple[Caller, float]] = field(default_factory=dict)
    #: Grows when everything is forgotten: an answer begun before is not remembered.
    _generation: int = 0

    def known(self, token: bytes) -> Caller | None:
        """From memory; None says nothing about the token."""
        found = self._cache.get(digest(token))
        return found[0] if found is not None and found[1] > time.monotonic() else None

    def find_session(self, token: str) -> Caller | None:
        return self._remembered(token, self.sessions.find, CACHE_SECONDS)

    def find_bearer(self, token: str) -> Caller | None:
        """An API key's owner, or who the identity provider says it is."""
        if token.startswith(PREFIX):
            return self._remembered(token, self.keys.find, CACHE_SECONDS)
        if self.ask_bearer is None or token.count(".") < 2 or len(token) > 16_384:
            return None
        return self._remembered(token, self.ask_bearer, BEARER_SECONDS)

    def _remembered(
        self, token: str, find: Callable[[str], tuple[Caller, float | None] | None], seconds: float
    ) -> Caller | None:
        generation = self._generation
        found = find(token)
        if found is None:
            self._cache.pop(digest(token), None)
            return None
        caller, expires = found
        if expires is not None:
            seconds = min(seconds, expires - time.time())
        if seconds > 0 and generation == self._generation:
            while len(self._cache) >= MAX_CACHED:
                self._cache.pop(next(iter(self._cache)), None)
            self._cache[digest(token)] = caller, time.monotonic() + seconds
        return caller

    def forget(self) -> None:
        """Something was revoked: everything is looked up anew."""
        self._generation += 1
        self._cache.clear()
