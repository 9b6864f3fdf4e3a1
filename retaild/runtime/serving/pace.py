"""Long work in the event loop's thread, in slices, so that no request waits long for it."""

from __future__ import annotations

import asyncio
from time import perf_counter

#: Seconds of work before others get their turn.
SLICE = 0.001


class Pace:
    """Shared by all background work. `requests` is counted up by whoever answers one."""

    def __init__(self) -> None:
        self.requests = 0

    def slice(self) -> Slice:
        return Slice(self)


class Slice:
    """`over()` is True when a slice is used up: then `await pause()`."""

    __slots__ = ("_began", "_pace", "_requests")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._begin()

    def _begin(self) -> None:
        self._requests = self._pace.requests
        self._began = perf_counter()

    def over(self) -> bool:
        return perf_counter() - self._began >= SLICE

    async def pause(self, rest: float = 0.0) -> None:
        """Let requests through. While there are any, background work takes half of the time.

        `rest`: sleep so many times as long as was worked; the core is then another process's.
        """
        used = perf_counter() - self._began
        await asyncio.sleep(rest * used)
        if self._pace.requests != self._requests:
            await asyncio.sleep(used)
        self._begin()
