"""How soon somebody may try to sign in again, after attempts that failed.

Per address, and per account for browsers that were never signed in to it: who signed in here before
(his browser holds a signed mark) has a count of his own, so that a stranger who guesses at an
account cannot keep its owner out. The counts are in memory: a restart of the server forgets them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from retaild.runtime.access.errors import ThrottledError

#: So many failures cost nothing: people mistype.
FREE = 4
#: The longest pause, in seconds: of an address, and of an account or a known browser.
LONGEST = {"address": 900.0, "account": 60.0, "browser": 60.0}
#: Failures longer ago than this are forgotten.
FORGOTTEN = 3600.0
#: So many are remembered; who failed longest ago is forgotten first.
MAX_COUNTS = 10_000

Key = tuple[str, str]


@dataclass
class LoginLimiter:
    """`clock` counts seconds and never goes back."""

    clock: Callable[[], float] = time.monotonic
    _failures: OrderedDict[Key, tuple[int, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attempt(self, keys: Iterable[Key]) -> None:
        """Count an attempt, as failed until `succeeded` says otherwise. Raises ThrottledError.

        Counted before the password is looked at: many at the same time are no way round it.
        """
        keys, now = list(keys), self.clock()
        with self._lock:
            self._attempt(keys, now)

    def _attempt(self, keys: list[Key], now: float) -> None:
        wait = max(self._wait(key, now) for key in keys)
        if wait > 0:
            raise ThrottledError(wait)
        for key in keys:
            count, _ = self._count(key, now)
            self._failures[key] = count + 1, now
            self._failures.move_to_end(key)
        while len(self._failures) > MAX_COUNTS:
            self._failures.popitem(last=False)

    def succeeded(self, keys: Iterable[Key]) -> None:
        """The account and the browser start anew; the address only loses this attempt.

        Else an account of one's own would be a way to guess at others from the same address.
        """
        with self._lock:
            for key in keys:
                self._forgive(key)

    def _forgive(self, key: Key) -> None:
        count, at = self._failures.get(key, (0, 0.0))
        if key[0] != "address" or count <= 1:
            self._failures.pop(key, None)
        else:
            self._failures[key] = count - 1, at

    def _count(self, key: Key, now: float) -> tuple[int, float]:
        count, at = self._failures.get(key, (0, now))
        return (0, now) if now - at > FORGOTTEN else (count, at)

    def _wait(self, key: Key, now: float) -> float:
        count, at = self._count(key, now)
        if count < FREE:
            return 0.0
        return min(2.0 ** (count - FREE), LONGEST[key[0]]) - (now - at)


def keys_of(account: str, address: str, browser: str) -> list[Key]:
    """What an attempt counts for. `browser`: the mark of one that was signed in to the account."""
    own: Key = ("browser", browser) if browser else ("account", account.casefold()[:200])
    return [("address", network_of(address)), own]


def network_of(address: str) -> str:
    """Of an IPv6 address the /64: one household has as many addresses as it likes."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return parsed.packed[:8].hex()
    return str(parsed)
