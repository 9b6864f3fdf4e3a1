"""What the pages ask, answered by the services: the `PageData` that `retaild.web` describes.

The dictionaries are those of the REST routes, so a page and a client see the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from retaild import __version__
from retaild.api.errors import RetaildError
from retaild.rest.access_data import AccessData
from retaild.rest.alerts_data import AlertsData, alerts_data
from retaild.rest.backups_data import BackupsData
from retaild.rest.config_data import ConfigData
from retaild.rest.doctor_data import DoctorData
from retaild.rest.instances_data import InstancesData
from retaild.rest.problems import status_of
from retaild.rest.services_data import ServicesData
from retaild.rest.status import status
from retaild.runtime.alerts.desk import AlertDesk
from retaild.runtime.pricing.errors import DecidedError
from retaild.runtime.serving.errors import NoPriceModelError
from retaild.runtime.serving.services import Services

P = ParamSpec("P")
T = TypeVar("T")
#: A promotion is a job of some seconds; its page waits for it so long.
_JOB_SECONDS = 30.0
_SUGGESTIONS = 8


def _for_pages(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Errors that mean "not there" become the pages' own."""

    @wraps(call)
    async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        with _page_errors():
            return await call(*args, **kwargs)

    return asked


@contextmanager
def _page_errors() -> Iterator[None]:
    try:
        yield
    except RetaildError as error:
        if status_of(error) == 404:
            missing = import_module("retaild.web.views").NotFoundError("page for", "", hint="")
            missing.message, missing.hint = error.message, error.hint
            missing.args = (error.message,)
            raise missing from error
        raise


class ServedPageData:
    """Lives in the event loop; what blocks goes to a thread."""

    access: AccessData
    alerts: AlertsData
    doctor: DoctorData
    config: ConfigData
    instances: InstancesData
    services: ServicesData
    backups: BackupsData

    def __init__(self, services: Services) -> None:
        self._services = services
        self._shop, self._prices, self._admin = services.shop, services.prices, services.admin
        self.access = AccessData(services.access)
        self.alerts = alerts_data(services.context)
        self.doctor = DoctorData(services.context.data)
        self.config = ConfigData(services.context.data)
        self.instances = InstancesData(services.admin)
        self.services = ServicesData(services.admin)
        self.backups = BackupsData(services.admin)

    def shop(self) -> Any:
        settings = self._services.context.settings
        return import_module("retaild.web.views").Shop(
            store=settings.retaild.store,
            currency=settings.retaild.currency,
            timezone=settings.retaild.timezone,
            version=__version__,
            assumptions=_assumptions(settings.demo),
        )

    async def health(self) -> tuple[str, str]:
        progress = self._services.background.progress
        if not progress.ready:
            return "warn", "starting"
        if progress.errors:
            return "warn", next(iter(progress.errors.values()))[:80]
        counts = await asyncio.to_thread(AlertDesk(self._services.context.state).counts)
        open_ones = sum(counts.values()) - counts.get("info", 0)
        if open_ones:
            level = "bad" if open_ones > counts.get("warning", 0) else "warn"
            return level, f"{open_ones} alert{'s' if open_ones > 1 else ''}"
        return ("good", "all well") if self._services.engine.version else ("warn", "no model yet")

    # -- recommendations -----------------------------------------------------------------------

    async def suggested_customers(self) -> list[dict[str, Any]]:
        return self._shop.suggestions(_SUGGESTIONS)

    async def find_customers(self, query: str, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._shop.customers(query, limit)["customers"]
        return found

    @_for_pages
    async def customer(self, customer_id: str) -> dict[str, Any]:
        return self._shop.customer(customer_id)

    async def recommendations(self, customer_id: str, count: int) -> dict[str, Any]:
        return self._shop.recommendations(customer_id, count)

    async def basket_recommendations(
        self, product_ids: Sequence[str], customer_id: str | None, count: int
    ) -> dict[str, Any]:
        items = [{"product_id": product_id} for product_id in product_ids]
        return self._shop.basket_recommendations(items, customer_id, count)

    @_for_pages
    async def similar(self, product_id: str, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._shop.similar(product_id, count)["recommendations"]
        return found

    @_for_pages
    async def product(self, product_id: str) -> dict[str, Any]:
        return self._shop.product(product_id)

    async def search_products(self, query: str, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._services.finder.find(query, None, limit))[
            "products"
        ]
        return found

    async def change_basket(self, customer_id: str, product_id: str, action: str) -> None:
        event = {
            "family": "activity",
            "action": action,
            "customer_id": customer_id,
            "product_id": product_id,
        }
        await self._services.page_door.send([event])

    # -- prices --------------------------------------------------------------------------------

    async def pricing_summary(self) -> dict[str, Any]:
        return await self._prices.summary()

    async def proposals(
        self, *, state: str, query: str, sort: str, limit: int, offset: int
    ) -> dict[str, Any]:
        return await self._prices.proposals(state, query, sort, limit, offset)

    @_for_pages
    async def price_detail(self, product_id: str) -> dict[str, Any]:
        demand = self._prices.demand(product_id)
        return {
            "product": self._shop.product(product_id),
            "demand": demand,
            "proposal": await self._prices.open_proposal(product_id),
            "curve": self._curve(product_id) if demand else [],
            "history": self._prices.history(product_id),
        }

    def _curve(self, product_id: str) -> list[dict[str, Any]]:
        try:
            curve: list[dict[str, Any]] = self._prices.curve(product_id)["curve"]
        except NoPriceModelError:
            return []
        return curve

    @_for_pages
    async def what_if(self, product_id: str, price: float) -> dict[str, Any] | None:
        try:
            return self._prices.what_if(product_id, price)
        except NoPriceModelError:
            return None

    @_for_pages
    async def decide(self, proposal_id: str, decision: str, comment: str) -> bool:
        decider = self._services.decider
        act = decider.approve if decision == "approved" else decider.reject
        try:
            await act(proposal_id, "pages", comment)
        except DecidedError:
            return False
        return True

    # -- admin ---------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        return await asyncio.to_thread(status, self._services)

    async def plugins(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._admin.plugins)

    async def sources(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._admin.sources)

    async def jobs(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._admin.jobs)

    async def job_runs(self, job: str, limit: int) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._admin.runs, job, limit)

    @_for_pages
    async def job_run(self, run_id: int) -> tuple[dict[str, Any], list[str]]:
        run = await asyncio.to_thread(self._admin.run, run_id)
        return run, await asyncio.to_thread(self._admin.run_log, run_id)

    async def run_job(self, name: str) -> int:
        return await asyncio.to_thread(self._admin.run_job, name)

    async def models(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._admin.models)

    @_for_pages
    async def promote(self, name: str, version: int) -> None:
        await self._finished(await asyncio.to_thread(self._admin.promote, name, version))

    @_for_pages
    async def rollback(self, name: str) -> None:
        await self._finished(await asyncio.to_thread(self._admin.rollback, name))

    async def _finished(self, run_id: int) -> None:
        """Wait for a short job, so that the page shows what came of it."""
        for _ in range(int(_JOB_SECONDS / 0.25)):
            run = await asyncio.to_thread(self._admin.run, run_id)
            if run["state"] in ("failed", "killed"):
                raise RetaildError(str(run["error"] or "It failed."), hint="See the job's log.")
            if run["state"] == "succeeded":
                return
            await asyncio.sleep(0.25)

    async def dead_letters(
        self, *, source: str, reason: str, limit: int, offset: int
    ) -> dict[str, Any]:
        return await asyncio.to_thread(
            self._admin.dead_letters, source=source, reason=reason, limit=limit, offset=offset
        )

    @_for_pages
    async def dead_letter(self, event_id: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._admin.dead_letter, event_id)

    async def replay(self, event_ids: Sequence[str]) -> tuple[int, int]:
        result = await asyncio.to_thread(self._admin.replay, event_ids)
        return result.accepted, result.refused

    async def quality(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._admin.quality)

    async def lake_tables(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._admin.lake_tables)

    @_for_pages
    async def logs(self, file: str, level: str, lines: int) -> dict[str, Any]:
        return await asyncio.to_thread(self._admin.logs, file, level, lines)


def _assumptions(demo: dict[str, Any]) -> tuple[str, ...]:
    """The demo's stated assumptions, in words; none for a real shop."""
    sentences = []
    if "unit_cost_share" in demo:
        share = f"{float(demo['unit_cost_share']):.0%}"
        sentences.append(f"Unit costs are assumed: {share} of the price on most recent lines.")
    if "stock_weeks" in demo:
        stock = f"Stock is assumed: {demo['stock_weeks']} weeks of recent sales"
        if "sold_out_every" in demo:
            stock += f", and every {demo['sold_out_every']}th product is sold out"
        sentences.append(f"{stock}.")
    if sentences:
        sentences.append("The data says nothing of either; retaild.toml states the rule.")
    return tuple(sentences)
