"""The product search of people: a search engine's where one is configured, else our own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from retaild.runtime.serving.shop import Shop

_log = logging.getLogger(__name__)

#: A person who types waits no longer than this for the engine.
PATIENCE = 0.6
#: A list of proposals is narrowed down to so many products at most.
MATCHING = 10_000
#: After a failure the engine is left alone for so long.
PAUSE = 5.0


@dataclass
class Index:
    """A Searchable target, opened and asked in a thread of its own, for searches one by one."""

    name: str
    build: Callable[[], Any]
    clock: Callable[[], float] = time.monotonic
    _target: Any = None
    _next: float = 0.0
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="search")
    )

    @property
    def usable(self) -> bool:
        return self.clock() >= self._next

    async def search(self, text: str, category: str | None, limit: int, offset: int) -> Any:
        """What it found, or None if it did not answer in time."""
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._thread, self._search, text, category, limit, offset)
        try:
            return await asyncio.wait_for(asked, PATIENCE)
        except Exception as error:  # of a plugin: whatever it is, the own search answers
            self._next = self.clock() + PAUSE
            why = "no answer in time" if isinstance(error, TimeoutError) else error
            _log.warning("%s does not search: %s", self.name, why)
            return None

    def _search(self, text: str, category: str | None, limit: int, offset: int) -> Any:
        if self._target is None:
            target = self.build()
            target.open()
            self._target = target
        return self._target.search(text, category, limit, offset)

    def warm(self) -> None:
        """Open it and ask it something, so that the first who searches need not wait for that."""
        self._thread.submit(self._warm)

    def _warm(self) -> None:
        try:
            self._search("warm", None, 1, 0)
        except Exception as error:  # it may not be there yet; searches try it again
            _log.info("%s does not search yet: %s", self.name, error)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        if self._target is not None:
            await loop.run_in_executor(self._thread, self._target.close)
        self._thread.shutdown(wait=False, cancel_futures=True)


class ProductFinder:
    """Answers as `Shop.products` does; prices and stock are always the server's own."""

    def __init__(self, shop: Shop, index: Index | None) -> None:
        self._shop = shop
        self._index = index

    async def find(
        self, q: str = "", category: str | None = None, limit: int = 20, offset: int = 0
    ) -> dict[str, Any]:
        """Without words the own list is as good, and newer."""
        if self._index is not None and q.strip() and self._index.usable:
            found = await self._index.search(q, category, limit, offset)
            if found is not None:
                return {"products": self._shop.described(found.ids), "total": found.total}
        return self._shop.products(q, category, limit, offset)

    async def matching(self, q: str) -> frozenset[str]:
        """Ids of all products that the engine finds; none where there is no engine to ask."""
        if self._index is None or not q.strip() or not self._index.usable:
            return frozenset()
        found = await self._index.search(q, None, MATCHING, 0)
        return frozenset(found.ids) if found is not None else frozenset()

    def warm(self) -> None:
        if self._index is not None:
            self._index.warm()

    async def close(self) -> None:
        if self._index is not None:
            await self._index.close()
