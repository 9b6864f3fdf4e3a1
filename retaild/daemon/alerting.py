"""The daemon's part in alerts: looks for what is wrong, and decides who is told.

In a thread of its own: a slow disk may delay an alert, but not the daemon.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime.alerts.conditions import Conditions
from retaild.runtime.alerts.engine import AlertEngine
from retaild.runtime.state import State

_log = logging.getLogger(__name__)

STEP_SECONDS = 2.0
LOOK_SECONDS = 15.0
TRIM_SECONDS = 3600.0


@dataclass
class _Every:
    """Says once in so many seconds that it is time; at the first call too."""

    seconds: float
    _next: float = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self.seconds
        return True


@dataclass
class Alerting:
    """`run()` until cancelled. All else may be called from the daemon's loop at any time."""

    state: State
    data: DataDir
    settings: Settings
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _look: _Every = field(default_factory=lambda: _Every(LOOK_SECONDS))
    _trim: _Every = field(default_factory=lambda: _Every(TRIM_SECONDS))

    def __post_init__(self) -> None:
        self._engine = AlertEngine(self.state, self.settings)
        self._conditions = Conditions(self.state, self.data, self.settings)

    def configure(self, settings: Settings) -> None:
        """Go on by these settings: after a reload."""
        self.settings = settings
        self._engine.configure(settings)
        self._conditions.configure(settings)
        self.wake()

    def wake(self) -> None:
        """Something was raised or resolved: do not wait for the next step."""
        self._wake.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="alerts")
        try:
            while True:
                await loop.run_in_executor(thread, self.step)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), STEP_SECONDS)
                self._wake.clear()
        finally:
            thread.submit(self.state.close)
            # A step that waits for the disk must not hold up the daemon's end.
            thread.shutdown(wait=False)

    def step(self) -> None:
        """One round; a fault in it is logged, and the next round tries again."""
        self._safely(self._round)

    def _round(self) -> None:
        if self._look.is_due():
            self._safely(lambda: self._conditions.look(time.time()))
        self._engine.step(time.time())
        if self._trim.is_due():
            self._engine.trim(time.time())

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # alerts must outlive whatever they are about
            _log.exception("alerts")
