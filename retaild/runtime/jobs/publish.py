"""Job `publish`: everybody's recommendations and all products, to the configured targets.

It answers as the server would: from the same snapshot, log and champion, with the same code; or,
with `recommendations.published_by`, as that trainer's champion ranks everybody in one batch.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from retaild.api.errors import MissingDataError, RetaildError
from retaild.api.target import DATASETS, Dataset, DeployTarget, Record
from retaild.host.lifecycle import closing_always
from retaild.runtime.context import JobContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from retaild.runtime.serving.engine import Engine

#: Gives the records of a data set, each time from the first.
Records = Callable[[], Iterator[Record]]
#: How long the log's tail may take to be read.
READY_SECONDS = 600.0
#: What the shop pays is nobody's business outside.
INTERNAL = ("unit_cost", "cost_source")


class NotPublishedError(RetaildError):
    key = "publish.failed"

    def __init__(self, failed: dict[str, str]) -> None:
        said = " ".join(f"{target}: {error}" for target, error in failed.items())
        super().__init__(
            f"Nothing new was published to {', '.join(failed)}. {said}",
            hint="What was there before is still there. Mend the target; run `publish` again.",
        )


def run(context: JobContext) -> dict[str, Any]:
    """Per target the records of each data set, and what they took.

    Raises NotPublishedError after the last target if any failed.
    """
    return asyncio.run(_run(context))


async def _run(context: JobContext) -> dict[str, Any]:
    if not context.settings.target:
        return {"targets": {}}
    context.progress(0.0, "reading snapshot and log")
    async with _ready_engine(context) as engine:
        if trainer := context.settings.recommendations.published_by:
            return _publish_batch(context, engine, trainer)
        if engine.loaded is None:
            raise MissingDataError(
                "There is no champion to ask for recommendations yet.",
                hint="Run `retaildctl job run refresh` first.",
            )
        done = _publish_all(context, engine, lambda: _recommendations(engine))
        return {"targets": done, "model_version": engine.version}


def _publish_batch(context: JobContext, engine: Engine, trainer: str) -> dict[str, Any]:
    from retaild.runtime.jobs.batch_slates import batch_slates

    context.progress(0.0, f"{trainer} ranks for everybody")
    began = time.monotonic()
    with batch_slates(context, engine, trainer) as slates:
        scoring = {
            "trainer": trainer,
            "customers": slates.scored,
            "others": slates.rest,
            "seconds": round(time.monotonic() - began, 3),
        }
        done = _publish_all(context, engine, slates.records)
        return {"targets": done, "model_version": slates.champion.version, "batch": scoring}


@asynccontextmanager
async def _ready_engine(context: JobContext) -> AsyncIterator[Engine]:
    from retaild.runtime.serving.background import Background
    from retaild.runtime.serving.engine import Engine
    from retaild.runtime.serving.services import follower

    engine, bus = Engine(context.settings, context.settings.now), context.bus()
    with closing_always(bus, "the log"):
        bus.open()
        background = Background(engine, bus, context.data.online, follower(context, "recommender"))
        await background.start()
        until = time.monotonic() + READY_SECONDS
        try:
            while not background.progress.ready:
                if time.monotonic() > until or context.stop.is_set():
                    raise MissingDataError(background.progress.reason, hint="Run it again later.")
                await asyncio.sleep(0.05)
            yield engine
        finally:
            await background.stop()


def _publish_all(context: JobContext, engine: Engine, slates: Records) -> dict[str, Any]:
    """A result per target."""
    results: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for place, name in enumerate(sorted(context.settings.target)):
        context.progress(place / len(context.settings.target), f"publishing to {name}")
        began = time.monotonic()
        try:
            results[name] = _publish(context, engine, slates, name)
        except RetaildError as error:
            failed[name] = str(error)
            results[name] = {"error": str(error)}
        results[name]["seconds"] = round(time.monotonic() - began, 3)
    if failed:
        context.state.save_run(context.run_id, result={"targets": results})
        raise NotPublishedError(failed)
    return results


def _publish(context: JobContext, engine: Engine, slates: Records, name: str) -> dict[str, Any]:
    target: DeployTarget = context.build("target", name)
    with closing_always(target, name):
        target.open()
        sets: dict[Dataset, Records] = {
            "recommendations": slates,
            "products": lambda: _products(engine),
        }
        return {dataset: target.publish(dataset, sets[dataset]()) for dataset in DATASETS}


def _recommendations(engine: Engine) -> Iterator[Record]:
    """One by one: a large shop's do not have to be in memory at once."""
    for customer_id in engine.facts.customers.by_recency():
        yield Record(customer_id, json.loads(engine.answer(customer_id, engine.count).body))


def _products(engine: Engine) -> Iterator[Record]:
    from retaild.runtime.serving.shop import Shop

    shop = Shop(engine)
    for product, row in enumerate(engine.facts.products.rows):
        if row.known:
            described = shop.product(engine.index.ids[product])
            body = {key: value for key, value in described.items() if key not in INTERNAL}
            # More came back than was sold: for who reads, nothing was.
            body["units_28d"] = max(0.0, body["units_28d"])
            yield Record(described["product_id"], body)
