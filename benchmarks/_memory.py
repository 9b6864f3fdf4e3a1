"""Memory over a span of time, servers and their children included."""

from __future__ import annotations

import threading

import psutil

_MIB = 1024 * 1024


class Peak:
    """The most that this process and its descendants held together, looked at ten times a second.

    Pages that they share are counted for each.
    """

    def __init__(self) -> None:
        self._most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """In MiB."""
        self._done.set()
        self._thread.join()
        return self._most // _MIB

    def _look(self) -> None:
        own = psutil.Process()
        while not self._done.wait(0.1):
            total = own.memory_info().rss
            for child in own.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self._most = max(self._most, total)
