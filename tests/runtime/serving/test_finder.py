"""The product search asks a search engine first, and never waits long for it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

from retaild.api import TransientError
from retaild.api.target import Found
from retaild.runtime.serving.finder import PATIENCE, PAUSE, Index, ProductFinder


class OwnSearch:
    """Stands for the shop: knows three products."""

    def products(self, q: str, *_: object) -> dict[str, Any]:
        return {"products": ["own"], "total": 1}

    def described(self, ids: list[str]) -> list[str]:
        return [name for name in ids if name != "unknown"]


@dataclass
class Engine:
    """A Searchable target."""

    away: bool = False
    slow: threading.Event = field(default_factory=threading.Event)
    opened: int = 0
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slow.set()

    def open(self) -> None:
        if self.away:
            raise TransientError("It is away.")
        self.opened += 1

    def search(self, text: str, category: str | None, limit: int, offset: int) -> Found:
        self.asked.append(text)
        self.slow.wait(10)
        return Found(["a", "unknown", "b"], 3)

    def close(self) -> None:
        self.opened -= 1


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def _finder(engine: Engine, clock: Clock) -> ProductFinder:
    return ProductFinder(OwnSearch(), Index("search", lambda: engine, clock))  # type: ignore[arg-type]


def test_the_engine_finds_and_the_server_describes() -> None:
    async def ask() -> None:
        engine = Engine()
        finder = _finder(engine, Clock())
        assert await finder.find("glass") == {"products": ["a", "b"], "total": 3}
        assert await finder.find("  ") == {"products": ["own"], "total": 1}
        assert engine.asked == ["glass"]
        await finder.close()
        assert engine.opened == 0

    asyncio.run(ask())


def test_while_it_is_away_the_own_search_answers_and_it_is_left_alone_for_a_while() -> None:
    async def ask() -> None:
        engine, clock = Engine(away=True), Clock()
        finder = _finder(engine, clock)
        assert (await finder.find("glass"))["products"] == ["own"]
        engine.away = False
        assert (await finder.find("glass"))["products"] == ["own"]
        clock.now += PAUSE
        assert (await finder.find("glass"))["products"] == ["a", "b"]
        await finder.close()

    asyncio.run(ask())


def test_a_slow_engine_is_not_waited_for() -> None:
    async def ask() -> None:
        engine = Engine()
        finder = _finder(engine, Clock())
        engine.slow.clear()
        began = asyncio.get_running_loop().time()
        assert (await finder.find("glass"))["products"] == ["own"]
        assert asyncio.get_running_loop().time() - began < PATIENCE + 5
        engine.slow.set()
        await finder.close()

    asyncio.run(ask())


def test_price_proposals_are_narrowed_down_by_what_the_engine_finds() -> None:
    async def ask() -> None:
        engine, clock = Engine(), Clock()
        finder = _finder(engine, clock)
        assert await finder.matching("glass") == {"a", "unknown", "b"}
        assert await finder.matching("  ") == frozenset()
        assert engine.asked == ["glass"]
        await finder.close()
        away = _finder(Engine(away=True), clock)
        assert await away.matching("glass") == frozenset()
        await away.close()

    asyncio.run(ask())


def test_it_is_warm_before_anybody_asks() -> None:
    async def ask() -> None:
        engine = Engine()
        finder = _finder(engine, Clock())
        finder.warm()
        while not engine.asked:
            await asyncio.sleep(0.01)
        assert engine.opened == 1
        await finder.close()

    asyncio.run(ask())
