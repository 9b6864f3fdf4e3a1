"""Everything the serve worker answers with, wired once."""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from retaild.api.errors import RetaildError
from retaild.api.target import DeployTargetSpec
from retaild.runtime import registry
from retaild.runtime.access.desk import AccessDesk
from retaild.runtime.admin.facade import Admin
from retaild.runtime.context import Context
from retaild.runtime.pricing.decisions import Decisions
from retaild.runtime.pricing.journal import Journal
from retaild.runtime.serving.background import Background
from retaild.runtime.serving.door import Door
from retaild.runtime.serving.engine import Engine
from retaild.runtime.serving.finder import Index, ProductFinder
from retaild.runtime.serving.models import Champion, Follower, Loaded
from retaild.runtime.serving.prices import Decider, Prices
from retaild.runtime.serving.shop import Shop
from retaild.runtime.serving.vitals import Vitals
from retaild.runtime.serving.writer import LogWriter

#: Threads give up the interpreter so often (seconds): a request waits no longer for one.
SWITCH_SECONDS = 0.0005
#: The collector of cycles looks at young objects only: a look at all of them would hold up requests
#: for a third of a second, and what grows old here is data without cycles.
GARBAGE = (1000, 10, 1_000_000)


@dataclass
class Services:
    """Built by `build`, started in the event loop that serves."""

    context: Context
    engine: Engine
    background: Background
    writer: LogWriter
    door: Door
    page_door: Door
    shop: Shop
    finder: ProductFinder
    prices: Prices
    decider: Decider
    admin: Admin
    vitals: Vitals
    price_models: PriceModels
    access: AccessDesk
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Open the log, take the newest snapshot and model, begin to follow the log."""
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.set_threshold(*GARBAGE)
        self.writer.start()
        self.finder.warm()
        await self.background.start()
        self._tasks = [
            asyncio.create_task(self.price_models.keep()),
            asyncio.create_task(self.vitals.keep()),
        ]

    async def stop(self) -> None:
        """What was accepted is in the log already; let go of everything."""
        for task in self._tasks:
            task.cancel()
        await self.background.stop()
        await asyncio.to_thread(self.writer.stop)
        await self.finder.close()
        await asyncio.to_thread(self.access.refusals.flush)


@dataclass
class PriceModels:
    """Follows the price trainer's champion."""

    follower: Follower | None
    loaded: Loaded | None = None

    async def keep(self) -> None:
        while self.follower is not None:
            current = self.loaded.champion if self.loaded else None
            found = await asyncio.to_thread(self.follower.poll, current)
            if found is not None:
                self.loaded = found
            await asyncio.sleep(1.0)


def build(context: Context) -> Services:
    """Wire the services; nothing is touched yet but the bus that reads. Raises ConfigError."""
    settings = context.settings
    engine = Engine(settings, settings.now)
    reading, writing = context.bus(), context.bus()
    reading.open()
    background = Background(engine, reading, context.data.online, follower(context, "recommender"))
    writer = LogWriter(writing, settings.api.queue, engine.take)
    vitals = Vitals(context, engine, background, reading)
    door = partial(
        Door,
        engine,
        writer,
        store=settings.retaild.store,
        backlog=vitals.backlog,
        limit=settings.api.max_backlog_rows,
    )
    api_door, page_door = door(), door(source="pages", place="page")
    vitals.doors = {"api": api_door, "pages": page_door}
    price_models = PriceModels(follower(context, "price"))
    shop = Shop(engine)
    finder = ProductFinder(shop, _index(context))
    return Services(
        context=context,
        engine=engine,
        background=background,
        writer=writer,
        door=api_door,
        page_door=page_door,
        shop=shop,
        finder=finder,
        prices=Prices(engine, context.state, lambda: price_models.loaded, finder.matching),
        decider=Decider(engine, writer, partial(_decisions, context)),
        admin=Admin(context),
        vitals=vitals,
        price_models=price_models,
        access=AccessDesk(settings, context.data, context.state),
    )


def _decisions(context: Context, **parts: Any) -> Decisions:
    return Decisions(
        state=context.state,
        journal=Journal(context.data),
        currency=context.settings.retaild.currency,
        store=context.settings.retaild.store,
        **parts,
    )


def follower(context: Context, produces: str) -> Follower | None:
    """Follows the first configured trainer whose models are of that use."""
    for name, instance in context.settings.trainer.items():
        try:
            facts = context.plugins.facts("trainer", instance.plugin)
        except RetaildError:
            continue
        if facts.produces == produces:
            return Follower(partial(_champion, context, name), partial(_load, context, name))
    return None


def _index(context: Context) -> Index | None:
    """The first configured target that finds products; strangers' are not let into the server."""
    for name, instance in context.settings.target.items():
        try:
            found = context.plugins.find("target", instance.plugin)
        except RetaildError:
            continue
        if isinstance(found.spec, DeployTargetSpec) and found.spec.searchable:
            return Index(name, partial(context.build, "target", name))
    return None


def _champion(context: Context, trainer: str) -> Champion | None:
    found = registry.champion(context.data, trainer)
    return None if found is None else Champion(trainer, found.version, found.artifact)


def _load(context: Context, trainer: str, champion: Champion) -> Any:
    """A stranger's trainer is imported here, and not before one of its models is to answer."""
    return context.build("trainer", trainer).load(champion.artifact)
