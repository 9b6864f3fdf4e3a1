"""The price desk: the model in service, products as they are known, decisions.

For jobs and commands: it reads the lake. The server keeps the same things in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from retaild.api.bus import Bus
from retaild.api.pricing import PriceModel, PricePoint, PriceState, WhatIf
from retaild.runtime import registry
from retaild.runtime.context import Context
from retaild.runtime.pricing.decisions import Decisions, emit_to
from retaild.runtime.pricing.errors import (
    NoPriceModelError,
    NoPriceTrainerError,
    UnpricedProductError,
)
from retaild.runtime.pricing.journal import Journal
from retaild.runtime.pricing.ledger import Ledger, read_announced, read_ledgers
from retaild.runtime.pricing.products import (
    PricedProduct,
    price_state,
    read_competitor_prices,
    read_products,
)
from retaild.runtime.registry import ModelVersion


def price_trainer(context: Context) -> str:
    """The configured trainer that makes price models. Raises NoPriceTrainerError."""
    for name, instance in context.settings.trainer.items():
        if context.plugins.facts("trainer", instance.plugin).produces == "price":
            return name
    raise NoPriceTrainerError


@dataclass(frozen=True)
class PriceDesk:
    """One look at the data: what it read once stays as it was."""

    context: Context

    @cached_property
    def version(self) -> ModelVersion:
        """The champion. Raises NoPriceModelError."""
        trainer = price_trainer(self.context)
        found = registry.champion(self.context.data, trainer)
        if found is None:
            raise NoPriceModelError(trainer)
        return found

    @cached_property
    def model(self) -> PriceModel:
        trainer = self.context.build("trainer", self.version.name)
        model: PriceModel = trainer.load(self.version.artifact)
        return model

    @cached_property
    def products(self) -> dict[str, PricedProduct]:
        """All that have a price. One announced since the last gold run counts already."""
        lake, now = self.context.lake(), self.context.settings.now()
        products = read_products(lake)
        for product_id, ledger in read_announced(lake).items():
            announced = ledger.in_force(now)
            if announced is not None and product_id in products:
                products[product_id] = replace(products[product_id], price=announced.price)
        return products

    @cached_property
    def competitors(self) -> dict[str, float]:
        return read_competitor_prices(self.context.lake())

    @cached_property
    def prices(self) -> dict[str, float]:
        """The present price of every product."""
        return {product_id: product.price for product_id, product in self.products.items()}

    def product(self, product_id: str) -> PricedProduct:
        """Raises UnpricedProductError."""
        try:
            return self.products[product_id]
        except KeyError:
            raise UnpricedProductError(product_id) from None

    def currency(self, product: PricedProduct) -> str:
        return product.currency or self.context.settings.retaild.currency

    def state(self, product_id: str, ledgers: dict[str, Ledger] | None = None) -> PriceState:
        """What the model is asked with. Raises UnpricedProductError."""
        known = ledgers if ledgers is not None else self.ledgers([product_id])
        return price_state(
            self.product(product_id),
            self.model,
            now=self.context.settings.now(),
            ledgers=known,
            prices=self.prices,
            competitors=self.competitors,
        )

    def ledgers(self, product_ids: list[str] | None = None) -> dict[str, Ledger]:
        return read_ledgers(self.context.lake(), product_ids)

    def what_if(self, product_id: str, price: float) -> WhatIf:
        """What a price would do, and the rules it breaks. Raises UnpricedProductError."""
        found = self.model.what_if(self.state(product_id), price)
        if found is None:
            raise UnpricedProductError(product_id)
        return found

    def curve(self, product_id: str, prices: list[float]) -> list[PricePoint]:
        """Raises UnpricedProductError."""
        found = self.model.curve(self.state(product_id), prices)
        if not found:
            raise UnpricedProductError(product_id)
        return found

    def decisions(self, bus: Bus) -> Decisions:
        """Decides proposals; `bus` is open."""
        return decisions(self.context, bus)


def decisions(context: Context, bus: Bus) -> Decisions:
    """Decisions that read ledgers from the lake and append to an open bus."""

    def ledger(product_id: str) -> Ledger:
        return read_ledgers(context.lake(), [product_id]).get(product_id, Ledger())

    return Decisions(
        state=context.state,
        journal=Journal(context.data),
        emit=emit_to(bus),
        ledger=ledger,
        now=context.settings.now,
        currency=context.settings.retaild.currency,
        store=context.settings.retaild.store,
    )


def summary(proposals: list[dict[str, Any]]) -> dict[str, Any]:
    """Expected change a week over proposals' payloads; margin None where no cost is known."""
    margins = [
        payload["proposed"]["margin"] - payload["current"]["margin"]
        for payload in proposals
        if payload["proposed"]["margin"] is not None
    ]
    revenue = sum(p["proposed"]["revenue"] - p["current"]["revenue"] for p in proposals)
    rises = sum(p["proposed"]["price"] > p["current"]["price"] for p in proposals)
    return {
        "proposals": len(proposals),
        "rises": rises,
        "cuts": len(proposals) - rises,
        "margin_change_per_week": round(sum(margins), 2) if margins else None,
        "revenue_change_per_week": round(revenue, 2),
        "with_assumed_cost": sum(p["cost_source"] == "assumption" for p in proposals),
    }
