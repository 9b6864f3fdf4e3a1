"""What runs beside the answering: the log's tail, newer snapshots, new champions, ranking ahead."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from retaild.api.bus import Bus
from retaild.api.recommender import Catalogue
from retaild.runtime.serving.base import Base, bases, read_base, set_aside_base
from retaild.runtime.serving.engine import Engine
from retaild.runtime.serving.facts import Facts
from retaild.runtime.serving.models import Follower, Loaded
from retaild.runtime.serving.products import Products
from retaild.runtime.serving.tail import Retired, Tail

_log = logging.getLogger(__name__)

#: Seconds between looks at the log's end; own appends are applied without it.
POLL_SECONDS = 0.01
#: Seconds between looks for customers to rank ahead; who asks earlier is ranked then.
IDLE_SECONDS = 0.05
#: Seconds between looks at the registry and the snapshots.
FOLLOW_SECONDS = 1.0
#: Everyone is ranked anew so often: time alone changes what is due.
RANK_AGAIN_SECONDS = 3600.0
#: While so many rows of the log come at once, nobody is ranked ahead.
IMPORT_ROWS = 5000
_PLACES_AT_ONCE = 5000


@dataclass
class Progress:
    """For people and metrics. Seconds are durations, `*_at` times of the machine's clock."""

    ready: bool = False
    reason: str = "The server is reading its snapshot and the log."
    base_offset: int = 0
    base_at: float = 0.0
    base_seconds: float = 0.0
    model_seconds: float = 0.0
    model_at: float = 0.0
    #: From the model's take-over until every customer had an answer of their own; None: not yet.
    personal_seconds: float | None = None
    lag_rows: int = 0
    tail_rows: int = 0
    #: Rows of the log up to where it was followed.
    log_rows: int = 0
    errors: dict[str, str] = field(default_factory=dict)


class Background:
    """Owns the tasks; `start` returns at once, `ready` tells when the log was caught up with."""

    def __init__(
        self, engine: Engine, bus: Bus, online: Path, recommender: Follower | None
    ) -> None:
        self.progress = Progress()
        self._engine = engine
        self._bus = bus
        self._online = online
        self._recommender = recommender
        self._tail = Tail(bus, engine.pace)
        self._base: tuple[str, int] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._pass_began: float | None = None
        self._following_import = False

    async def start(self) -> None:
        """Take the newest snapshot, then start the tasks."""
        # Reading imports needs it; loading it later would hold up requests.
        await asyncio.get_running_loop().run_in_executor(None, import_module, "pyarrow.compute")
        await self._follow_base()
        await self._follow_model()
        works = (self._keep_tail, self._keep_following, self._keep_ranking, self._keep_prices)
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in works]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` for ever: a fault is logged and shown, and it begins anew."""
        name = work.__name__.removeprefix("_keep_")
        while True:
            try:
                await work()
            except Exception as error:
                _log.exception("the server's %s", name)
                self.progress.errors[name] = f"{type(error).__name__}: {error}"
                await asyncio.sleep(1.0)

    # -- the log -------------------------------------------------------------------------------

    async def _keep_tail(self) -> None:
        progress = self.progress
        while True:
            end = self._bus.end()
            facts = self._engine.facts
            if end.offset > facts.offset:
                self._following_import = end.rows - progress.log_rows > IMPORT_ROWS
                retired = Retired(lambda: self._engine.facts, facts)
                progress.tail_rows += await self._tail.catch_up(
                    facts, self._absorb, self._engine.own, retired, gives_way=progress.ready
                )
                progress.log_rows, self._following_import = end.rows, False
            if facts is self._engine.facts and not progress.ready:
                progress.ready, progress.reason = True, ""
                _log.info("ready: %d customers", len(facts.customers))
            progress.errors.pop("tail", None)
            await asyncio.sleep(POLL_SECONDS)

    def _absorb(self) -> None:
        self._engine.absorb()

    # -- snapshots -----------------------------------------------------------------------------

    async def _keep_following(self) -> None:
        while True:
            await self._follow_base()
            await self._follow_model()
            await asyncio.sleep(FOLLOW_SECONDS)

    async def _follow_base(self) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(None, _newest, self._online)
        if found is None or found[1] == self._base:
            return
        began = time.perf_counter()
        path, identity = found
        try:
            base = await loop.run_in_executor(None, read_base, path)
        except (ValueError, KeyError, EOFError) as error:
            kept = await loop.run_in_executor(None, set_aside_base, path)
            _log.error("snapshot %s is not whole (%s); kept as %s", path.name, error, kept.name)
            await self._follow_base()
            return
        if base.offset < self.progress.base_offset:
            return
        await self._take_base(base)
        self._base = identity
        progress = self.progress
        progress.base_offset, progress.base_at = base.offset, base.meta["created"]
        progress.base_seconds = time.perf_counter() - began
        progress.errors.pop("following", None)
        _log.info("snapshot %s taken in %.2f s", path.name, progress.base_seconds)
        self._rank_all()

    async def _take_base(self, base: Base) -> None:
        engine = self._engine
        await self._place_products(base)
        build = asyncio.get_running_loop().run_in_executor(None, _build, engine, base)
        facts = await build
        # Events apply to the old facts meanwhile; the new ones hear of them from the log.
        await self._tail.catch_up(facts)
        while facts.offset < self._bus.end().offset:
            await self._tail.catch_up(facts)
        changed = _differing(engine.facts.products, facts.products) | facts.changed_products
        old = engine.facts
        engine.take_facts(facts, changed)
        slice_ = engine.pace.slice()
        while old.let_go():
            if slice_.over():
                await slice_.pause()
        # What is held now is held for long: the collector need not look at it.
        gc.freeze()

    async def _place_products(self, base: Base) -> None:
        """Give new products their index here: the thread that builds may only look them up."""
        ids = base.products["product_id"]
        for start in range(0, len(ids), _PLACES_AT_ONCE):
            for product_id in ids[start : start + _PLACES_AT_ONCE]:
                self._engine.index.place(product_id)
            await asyncio.sleep(0)
        for event in base.announced:
            self._engine.index.place(event["product_id"])

    # -- models --------------------------------------------------------------------------------

    async def _follow_model(self) -> None:
        if self._recommender is None:
            return
        engine, loop = self._engine, asyncio.get_running_loop()
        current = engine.loaded.champion if engine.loaded else None
        loaded = await loop.run_in_executor(None, self._recommender.poll, current)
        self._note("model", self._recommender.error)
        if loaded is None:
            return
        catalogue = _copied(engine.facts.products.catalogue)
        await loop.run_in_executor(None, _warm, loaded, catalogue, engine.clock())
        engine.take_model(loaded)
        self.progress.model_seconds, self.progress.model_at = loaded.seconds, time.time()
        _log.info("champion %s %d", loaded.champion.trainer, loaded.champion.version)
        self._rank_all()

    def _note(self, name: str, error: str | None) -> None:
        if error is None:
            self.progress.errors.pop(name, None)
        else:
            self.progress.errors[name] = error

    # -- ranking ahead -------------------------------------------------------------------------

    def _rank_all(self) -> None:
        """Begin a pass over all customers, those of late first."""
        self._engine.rank_all()
        self._pass_began = time.perf_counter()
        self.progress.personal_seconds = None

    async def _keep_ranking(self) -> None:
        engine = self._engine
        next_pass = time.monotonic() + RANK_AGAIN_SECONDS
        while True:
            if self._following_import:
                # They would be ranked again and again; who asks meanwhile is ranked then.
                await asyncio.sleep(IDLE_SECONDS)
                continue
            if not engine.todo:
                self._pass_done()
                if time.monotonic() > next_pass:
                    next_pass = time.monotonic() + RANK_AGAIN_SECONDS
                    self._rank_all()
                await asyncio.sleep(IDLE_SECONDS)
                continue
            slice_ = engine.pace.slice()
            while engine.todo and not slice_.over():
                engine.rank_next()
            await slice_.pause()

    def _pass_done(self) -> None:
        if self._pass_began is not None:
            self.progress.personal_seconds = time.perf_counter() - self._pass_began
            self._pass_began = None

    # -- prices and lag ------------------------------------------------------------------------

    async def _keep_prices(self) -> None:
        while True:
            self._engine.follow_prices()
            self.progress.lag_rows = self._lag()
            await asyncio.sleep(FOLLOW_SECONDS)

    def _lag(self) -> int:
        """Entries of the log not applied yet (rows are known only when they are read)."""
        return max(0, self._bus.end().offset - self._engine.facts.offset)


def _newest(online: Path) -> tuple[Path, tuple[str, int]] | None:
    """The newest snapshot, and what tells it from one written over it later."""
    for path in bases(online):
        with contextlib.suppress(FileNotFoundError):
            return path, (path.name, (path / "meta.json").stat().st_mtime_ns)
    return None


def _build(engine: Engine, base: Base) -> Facts:
    facts = Facts(base, engine.index, engine.exclusions)
    facts.products.refresh(facts.changed_products, engine.clock(), limit=len(facts.products.rows))
    facts.changed_products.clear()
    return facts


def _differing(old: Products, new: Products) -> set[int]:
    """Products that an answer would show or treat differently."""
    a, b = old.catalogue, new.catalogue
    shared = min(len(a.price), len(b.price))
    same_price = (a.price[:shared] == b.price[:shared]) | (
        np.isnan(a.price[:shared]) & np.isnan(b.price[:shared])
    )
    differs = ~same_price | (a.offerable[:shared] & ~b.offerable[:shared])
    changed = set(np.flatnonzero(differs).tolist())
    for product in range(shared):
        x, y = old.at(product), new.at(product)
        if x.name != y.name or x.category != y.category or x.image_url != y.image_url:
            changed.add(product)
    return changed


def _copied(catalogue: Catalogue) -> Catalogue:
    return Catalogue(
        list(catalogue.product_ids),
        catalogue.offerable.copy(),
        catalogue.price.copy(),
        catalogue.category.copy(),
        list(catalogue.categories),
    )


def _warm(loaded: Loaded, catalogue: Catalogue, now: float) -> None:
    """Bind it and ask it once, away from the loop: what is loaded late is loaded then."""
    loaded.model.bind(catalogue)
    if len(catalogue.product_ids):
        loaded.model.recommend(None, (), now, 10)
        loaded.model.similar(0, 10)
