"""Tells that the machine's clock was set: who waits for a time of day waits by the other clock.

Waits are measured by the monotonic clock, which goes on evenly. A wall clock that is set meanwhile
(by a person, by a first synchronisation, after a suspended night) makes them too long or too short.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_SECONDS = 10.0
#: What differs by less between two looks was no jump.
SLACK = 30.0


class ClockWatch:
    """Calls `told(seconds)` from a thread of its own: how far the clock went ahead (or back)."""

    def __init__(self, told: Callable[[float], None]) -> None:
        self._told = told
        self._ahead = _ahead()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        before, self._ahead = self._ahead, _ahead()
        jump = self._ahead - before
        if abs(jump) < SLACK:
            return
        _log.warning("the clock was set %s by %.0f s", "forward" if jump > 0 else "back", abs(jump))
        try:
            self._told(jump)
        except Exception:
            _log.exception("what was to be done about it failed")


def _ahead() -> float:
    """How far the wall clock is ahead of the monotonic one."""
    return time.time() - time.monotonic()
