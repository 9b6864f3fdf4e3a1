"""Prices: what a product costs now and did before, what another price would do, and decisions.

Answers are dictionaries as the REST API documents them. What is in memory is answered in the
event loop's thread; proposals are read from the state in a thread of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Any

from retaild.api.bus import Entry
from retaild.api.pricing import Demand, PriceModel, PriceState
from retaild.events import Price
from retaild.events.codec import encode_events, iter_events
from retaild.runtime.access.audit import note
from retaild.runtime.access.caller import named
from retaild.runtime.pricing import payload
from retaild.runtime.pricing.decisions import Decisions, LedgerEntry
from retaild.runtime.pricing.errors import UnknownProposalError
from retaild.runtime.pricing.products import PricedProduct, price_state
from retaild.runtime.serving.engine import Engine
from retaild.runtime.serving.errors import NoPriceModelError, UnknownProductError
from retaild.runtime.serving.ledger import Announcement, Ledger
from retaild.runtime.serving.models import Loaded
from retaild.runtime.serving.products import Product
from retaild.runtime.serving.render import iso
from retaild.runtime.serving.writer import LogWriter
from retaild.runtime.state import State

#: A curve has so many points, from the first to the second multiple of the present price.
CURVE_POINTS = 41
CURVE_RANGE = (0.5, 1.6)
#: Prices read from the log take so long at most until the server knows them.
_EMIT_SECONDS = 20.0


class Prices:
    """`model` gives the price model in service, if there is one; `matching` the products that a
    search engine finds for what people type, beside those whose name or id has the words.
    """

    def __init__(
        self,
        engine: Engine,
        state: State,
        model: Callable[[], Loaded | None],
        matching: Callable[[str], Awaitable[Collection[str]]],
    ) -> None:
        self._engine = engine
        self._state = state
        self._model = model
        self._matching = matching
        self._present = _PresentPrices(engine)

    @property
    def version(self) -> int | None:
        loaded = self._model()
        return None if loaded is None else loaded.champion.version

    # -- prices --------------------------------------------------------------------------------

    def price(self, product_id: str) -> dict[str, Any]:
        """The price in force. Raises UnknownProductError."""
        product, row = self._row(product_id)
        now = self._engine.clock()
        announced = row.prices.in_force(now)
        return {
            "product_id": product_id,
            "name": row.name or product_id,
            "price": _rounded(row.price(now)),
            "currency": row.currency or self._engine.currency,
            "valid_from": iso(row.prices.since(now)),
            "valid_to": iso(announced.valid_to) if announced else None,
            "kind": "announced" if announced else "observed",
            "price_type": announced.price_type if announced else None,
            "lowest_30_days": _rounded(row.prices.lowest(now)),
            "unit_cost": row.unit_cost,
            "cost_source": row.cost_source,
            "offerable": self._engine.facts.products.offerable(product),
        }

    def history(self, product_id: str) -> dict[str, Any]:
        """The ledger, oldest first, and the lowest price of the last 30 days."""
        _, row = self._row(product_id)
        ledger = [_observed(at, price) for at, price in row.prices.observed]
        ledger += [_announced(announcement) for announcement in row.prices.announced]
        ledger.sort(key=lambda entry: entry["valid_from"] or "")
        lowest = row.prices.lowest(self._engine.clock())
        return {"product_id": product_id, "ledger": ledger, "lowest_30_days": _rounded(lowest)}

    def demand(self, product_id: str) -> dict[str, Any] | None:
        """What the model learned of the product; None if it did not."""
        found = self._demand(product_id)
        return None if found is None else payload.demand(found)

    def curve(self, product_id: str) -> dict[str, Any]:
        """Expected weeks at prices around the present one. Raises NoPriceModelError."""
        model, state, currency = self._asked(product_id)
        low, high = (factor * state.price for factor in CURVE_RANGE)
        step = (high - low) / (CURVE_POINTS - 1)
        prices = [round(low + step * place, 4) for place in range(CURVE_POINTS)]
        demand = model.demand(product_id)
        assert demand is not None
        return {
            "product_id": product_id,
            "model_version": self.version,
            "currency": currency,
            "demand": payload.demand(demand),
            "curve": [payload.point(point, currency) for point in model.curve(state, prices)],
        }

    def what_if(self, product_id: str, price: float) -> dict[str, Any]:
        """What `price` would do and the rules it breaks. Raises NoPriceModelError."""
        model, state, currency = self._asked(product_id)
        found = model.what_if(state, price)
        if found is None:
            raise NoPriceModelError(product_id)
        return {
            "product_id": product_id,
            "model_version": self.version,
            "currency": currency,
            **payload.what_if(found, currency),
        }

    # -- proposals -----------------------------------------------------------------------------

    async def proposals(
        self, state: str = "open", q: str = "", sort: str = "", limit: int = 50, offset: int = 0
    ) -> dict[str, Any]:
        """A page of proposals. `q` is looked for as products are; `sort`: see SORTS."""
        wanted, found = "" if state == "all" else state, await self._matching(q)
        return await asyncio.to_thread(_page, self._state, wanted, (q, found), sort, limit, offset)

    async def proposal(self, proposal_id: str) -> dict[str, Any]:
        """Raises UnknownProposalError."""
        row = await asyncio.to_thread(self._state.proposal, proposal_id)
        if row is None:
            raise UnknownProposalError(proposal_id)
        return shown(row)

    async def open_proposal(self, product_id: str) -> dict[str, Any] | None:
        """The product's open proposal, if there is one."""
        rows = await asyncio.to_thread(self._state.proposals, "open", product_id)
        return shown(rows[0]) if rows else None

    async def summary(self) -> dict[str, Any]:
        """All open proposals in figures, and how much rests on assumed costs."""
        rows = await asyncio.to_thread(self._state.proposals, "open")
        changes = [_margin_change(row["payload"]) for row in rows]
        known = [change for change in changes if change is not None]
        priced = [
            row for row in self._engine.facts.products.rows if row.usual or row.prices.announced
        ]
        assumed = sum(1 for row in priced if row.cost_source == "assumption")
        return {
            "open": len(rows),
            "margin_change": round(sum(known), 2) if known else None,
            "products": len(priced),
            "assumed_cost_share": assumed / len(priced) if priced else None,
            "model_version": self.version,
        }

    # -- parts ---------------------------------------------------------------------------------

    def _row(self, product_id: str) -> tuple[int, Product]:
        product = self._engine.index.find(product_id)
        if product is None or not self._engine.facts.products.at(product).known:
            raise UnknownProductError(product_id)
        return product, self._engine.facts.products.at(product)

    def _demand(self, product_id: str) -> Demand | None:
        loaded = self._model()
        self._row(product_id)
        if loaded is None:
            return None
        model: PriceModel = loaded.model
        return model.demand(product_id)

    def _asked(self, product_id: str) -> tuple[PriceModel, PriceState, str]:
        _, row = self._row(product_id)
        loaded, price = self._model(), row.price(self._engine.clock())
        if loaded is None or price is None or loaded.model.demand(product_id) is None:
            raise NoPriceModelError(product_id)
        currency = row.currency or self._engine.currency
        priced = PricedProduct(
            product_id, row.name or product_id, row.category or "", currency, price,
            row.unit_cost, row.cost_source, row.on_hand, row.stock_source,
        )  # fmt: skip
        state = price_state(
            priced,
            loaded.model,
            now=self._engine.clock(),
            ledgers={product_id: row.prices},
            prices=self._present,
            competitors={},
        )
        return loaded.model, state, currency


class Decider:
    """Approves and rejects; an approved price is durable and in force when the call returns."""

    def __init__(self, engine: Engine, writer: LogWriter, make: Callable[..., Decisions]) -> None:
        self._engine = engine
        self._writer = writer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._decisions = make(emit=self._emit, ledger=self._ledger, now=engine.clock)

    async def approve(self, proposal_id: str, by: str, comment: str = "") -> dict[str, Any]:
        """`by`: of callers who did not sign in. Raises UnknownProposalError, DecidedError."""
        self._loop = asyncio.get_running_loop()
        entry = await asyncio.to_thread(self._decisions.approve, proposal_id, named(by), comment)
        price = {"product_id": entry.event.product_id, "price": str(entry.event.price)}
        note(proposal_id, before={**price, "price": str(entry.previous)}, after=price)
        return _entered(proposal_id, entry)

    async def reject(self, proposal_id: str, by: str, comment: str = "") -> dict[str, Any]:
        """As `approve`."""
        who = named(by)
        await asyncio.to_thread(self._decisions.reject, proposal_id, who, comment)
        note(proposal_id, before={"state": "open"}, after={"state": "rejected", "comment": comment})
        return {"id": proposal_id, "state": "rejected", "decided_by": who}

    def _emit(self, event: Price) -> None:
        """In the deciding thread: make the price durable and let the server know it."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._take(event), self._loop).result(_EMIT_SECONDS)

    async def _take(self, event: Price) -> None:
        entries = [Entry("price", "json", 1, encode_events([event]))]
        plain = [("price", one) for one in iter_events("price", "json", entries[0].payload)]
        await self._writer.append(entries, plain)

    def _ledger(self, product_id: str) -> Ledger:
        product = self._engine.index.find(product_id)
        if product is None:
            return Ledger()
        prices = self._engine.facts.products.at(product).prices
        return Ledger(list(prices.observed), list(prices.announced))


class _PresentPrices(Mapping[str, float]):
    """Present prices by product id, looked up when asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getitem__(self, product_id: str) -> float:
        product = self._engine.index.find(product_id)
        price = None
        if product is not None:
            price = self._engine.facts.products.at(product).price(self._engine.clock())
        if price is None:
            raise KeyError(product_id)
        return price

    def __iter__(self) -> Iterator[str]:
        return iter(self._engine.index.ids)

    def __len__(self) -> int:
        return len(self._engine.index)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A proposal's row as clients see it."""
    return {
        "id": row["id"],
        "product_id": row["product_id"],
        "state": row["state"],
        "created": iso(row["created"]),
        "current_price": float(row["current_price"]),
        "proposed_price": float(row["proposed_price"]),
        **row["payload"],
        "decided_at": iso(row["decided_at"]),
        "decided_by": row["decided_by"],
        "comment": row["comment"],
    }


def _margin_change(body: Mapping[str, Any]) -> float | None:
    now, then = body["current"], body["proposed"]
    if now["margin"] is None or then["margin"] is None:
        return None
    return float(then["margin"] - now["margin"])


def _change(row: Mapping[str, Any]) -> float:
    current = float(row["current_price"])
    return float(row["proposed_price"]) / current - 1 if current else 0.0


#: What a page may be sorted by; a minus before it turns the order round.
SORTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "margin": lambda row: _margin_change(row["payload"]) or 0.0,
    "change": _change,
    "elasticity": lambda row: row["payload"]["demand"]["elasticity"],
    "name": lambda row: str(row["payload"]["name"]).casefold(),
    "price": lambda row: float(row["current_price"]),
    "created": lambda row: row["created"],
}


def _page(
    state: State, wanted: str, q: tuple[str, Collection[str]], sort: str, limit: int, offset: int
) -> dict[str, Any]:
    """`q`: what was typed, and the products that a search engine found for it."""
    rows = state.proposals(wanted)
    typed, found = q
    if words := typed.casefold().split():
        rows = [
            row for row in rows
            if row["product_id"] in found or all(word in _text(row) for word in words)
        ]  # fmt: skip
    name = sort.removeprefix("-")
    if name in SORTS:
        rows.sort(key=SORTS[name], reverse=sort.startswith("-"))
    page = [shown(row) for row in rows[offset : offset + limit]]
    return {"proposals": page, "total": len(rows)}


def _text(row: Mapping[str, Any]) -> str:
    return f"{row['product_id']} {row['payload']['name']} {row['payload']['category']}".casefold()


def _entered(proposal_id: str, entry: LedgerEntry) -> dict[str, Any]:
    lowest = entry.lowest_30_days
    return {
        "id": proposal_id,
        "state": "approved",
        "decided_by": entry.event.approved_by,
        "product_id": entry.event.product_id,
        "price": float(entry.event.price),
        "previous_price": float(entry.previous),
        "currency": entry.event.currency,
        "valid_from": iso(entry.event.valid_from.timestamp()),
        "lowest_30_days": None if lowest is None else float(lowest),
        "reduction": entry.is_reduction,
    }


def _observed(at: float, price: float) -> dict[str, Any]:
    empty = dict.fromkeys(("valid_to", "price_type", "reason", "proposal_id", "approved_by"))
    return {"valid_from": iso(at), "price": _rounded(price), "kind": "observed", **empty}


def _announced(announcement: Announcement) -> dict[str, Any]:
    return {
        "valid_from": iso(announcement.valid_from),
        "valid_to": iso(announcement.valid_to),
        "price": _rounded(announcement.price),
        "kind": "announced",
        "price_type": announcement.price_type,
        "reason": announcement.reason,
        "proposal_id": announcement.proposal_id,
        "approved_by": announcement.approved_by,
    }


def _rounded(price: float | None) -> float | None:
    return None if price is None else round(price, 4)
