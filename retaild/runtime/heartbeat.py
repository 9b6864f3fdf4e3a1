"""Sign of life of a worker: cheap to give in a hot loop, written to the state once a second."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)
INTERVAL = 1.0


class Heart:
    """Holds the newest beat; `flush` passes it on if there was one since the last time."""

    def __init__(self, opened: Callable[[], None] = lambda: None) -> None:
        """`opened` is called by the first beat, in its thread: what comes next may hang all."""
        self._beaten = threading.Event()
        self._opened = opened
        #: Set by the first beat.
        self.first = threading.Event()
        self._figures: dict[str, float | str] = {}

    def beat(self, figures: Mapping[str, float | str]) -> None:
        """Figures given once stay until they are given anew."""
        if figures:
            self._figures = {**self._figures, **figures}
        self._beaten.set()
        if not self.first.is_set():
            self._opened()
            self.first.set()

    def flush(self, write: Callable[[Mapping[str, float | str]], None]) -> None:
        if self._beaten.is_set():
            self._beaten.clear()
            write(self._figures)

    def run(
        self, write: Callable[[Mapping[str, float | str]], None], stopped: threading.Event
    ) -> None:
        """Flush now and every second until `stopped`. A busy database only delays it."""
        while True:
            try:
                self.flush(write)
            except sqlite3.OperationalError as error:
                _log.warning("cannot write the heartbeat: %s", error)
            if stopped.wait(INTERVAL):
                return
