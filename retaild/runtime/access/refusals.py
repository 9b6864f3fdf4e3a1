"""Failed sign-ins in the audit log, in so few entries that a flood cannot fill the disk.

The first of a kind (name, address, reason) is written at once; those that follow within a window
are counted and become one entry when the window ends. Of more kinds than `MAX_KINDS` in a window
one entry counts all. The names that are written are those of users: people type passwords into the
wrong field.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from retaild.runtime.access.audit import record
from retaild.runtime.access.limiter import network_of
from retaild.runtime.state import State

#: Repeats of a kind within so many seconds become one entry.
WINDOW_SECONDS = 600.0
#: So many kinds in a window have entries of their own: 2 * (32 + 1) entries at most, 10 KB.
MAX_KINDS = 32
WHAT = "session.refuse"
#: Who is not signed in.
NOBODY = "nobody"
UNKNOWN = "(a name that is not known)"
SEVERAL = "(several)"

#: Name, network, reason.
Kind = tuple[str, str, str]
_OTHERS: Kind = (SEVERAL, SEVERAL, SEVERAL)


@dataclass
class _Repeats:
    """After the first, which has its entry. `address`: of the first. Times: seconds (UTC)."""

    address: str
    count: int = 0
    first: float = 0.0
    last: float = 0.0


@dataclass
class Refusals:
    """May be used by many threads. `clock` counts seconds and never goes back."""

    state: State
    clock: Callable[[], float] = time.monotonic
    _since: float = 0.0
    _kinds: dict[Kind, _Repeats] = field(default_factory=dict)
    _timer: threading.Timer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, name: str, address: str, reason: str) -> None:
        """`name`: of the user who is known under it, else empty. Writes an entry, or counts."""
        with self._lock:
            if self.clock() - self._since >= WINDOW_SECONDS:
                self._write_repeats()
                self._since = self.clock()
            kind = self._kind(name or UNKNOWN, network_of(address), reason)
            if kind in self._kinds:
                self._count(self._kinds[kind])
                return
            where = SEVERAL if kind == _OTHERS else address[:100]
            self._kinds[kind] = _Repeats(where)
            _write(self.state, kind, {"address": where, "attempts": 1})

    def flush(self) -> None:
        """Write what was counted: the window has ended, or the server stops."""
        with self._lock:
            self._write_repeats()

    def _kind(self, name: str, network: str, reason: str) -> Kind:
        kind = name, network, reason
        full = len(self._kinds) >= MAX_KINDS and kind not in self._kinds
        return _OTHERS if full else kind

    def _count(self, repeats: _Repeats) -> None:
        now = time.time()
        repeats.count, repeats.last = repeats.count + 1, now
        repeats.first = repeats.first or now
        if self._timer is None:  # perhaps nobody comes any more to end the window
            rest = max(0.0, WINDOW_SECONDS - (self.clock() - self._since))
            self._timer = threading.Timer(rest, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _write_repeats(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for kind, repeats in self._kinds.items():
            if repeats.count:
                _write(self.state, kind, {
                    "address": repeats.address, "attempts": repeats.count,
                    "first": repeats.first, "last": repeats.last,
                })  # fmt: skip
        self._kinds.clear()


def _write(state: State, kind: Kind, after: dict[str, object]) -> None:
    name, _, reason = kind
    record(state, NOBODY, WHAT, name, via="web", after={"reason": reason, **after})
