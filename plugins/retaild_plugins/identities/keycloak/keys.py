"""The realm's signing keys, kept for a while and asked for again when they were rotated."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from jwcrypto.common import JWException
from jwcrypto.jwk import JWK

from retaild.api import TransientError

#: Signature algorithm -> the key type it needs. There is no other: no `none`, and nothing
#: symmetric, for which a public key would do as the secret.
ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}


class KeyRing:
    """Finds a key by its id. Safe between threads.

    `fetch` returns the realm's JWKs and raises TransientError while it cannot.
    """

    def __init__(
        self,
        fetch: Callable[[], list[dict[str, Any]]],
        *,
        max_age: float,
        min_pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._max_age, self._min_pause = max_age, min_pause
        self._clock = clock
        self._keys: dict[tuple[str, str], JWK] = {}
        self._fetched = self._asked = -math.inf
        self._failed = False
        self._lock = threading.Lock()

    def find(self, key_id: str, algorithm: str) -> JWK | None:
        """The key for a signature, or None: there is no such key (any more).

        Raises TransientError if the keys are too old to be trusted and cannot be had.
        """
        with self._lock:
            wanted = (key_id, algorithm)
            fresh = self._clock() - self._fetched < self._max_age
            if not fresh and self._failed and not self._may_ask():
                raise TransientError("Keycloak's keys cannot be had; it is asked again soon.")
            if not fresh or (wanted not in self._keys and self._may_ask()):
                self._refetch()
            return self._keys.get(wanted)

    def _may_ask(self) -> bool:
        """Whoever sends made-up key ids must not make us flood Keycloak."""
        return self._clock() - self._asked >= self._min_pause

    def _refetch(self) -> None:
        self._asked, self._failed = self._clock(), True
        self._keys = dict(filter(None, map(_usable, self._fetch())))
        self._fetched, self._failed = self._clock(), False


def _usable(key: dict[str, Any]) -> tuple[tuple[str, str], JWK] | None:
    """A key that signs by one of our algorithms; Keycloak also publishes keys that encrypt."""
    algorithm = key.get("alg", "")
    if key.get("use") != "sig" or ALGORITHMS.get(algorithm) != key.get("kty"):
        return None
    try:
        return (str(key["kid"]), algorithm), JWK(**key)
    except (KeyError, JWException, ValueError, TypeError):
        return None
