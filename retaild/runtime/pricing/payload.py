"""Proposals as JSON: what pages, REST and the CLI show, and what the state keeps.

Money is rounded to the currency's minor unit here, so that all of them show the same figures.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from retaild.api.pricing import BindingRule, Demand, PricePoint, Proposal, WhatIf
from retaild.runtime.pricing.money import to_money
from retaild.runtime.pricing.products import PricedProduct


def point(value: PricePoint, currency: str) -> dict[str, Any]:
    return {
        "price": _amount(value.price, currency),
        "units": round(value.units, 3),
        "units_low": round(value.units_low, 3),
        "units_high": round(value.units_high, 3),
        "revenue": _amount(value.revenue, currency),
        "margin": None if value.margin is None else _amount(value.margin, currency),
    }


def demand(value: Demand) -> dict[str, Any]:
    figures = asdict(value)
    return {
        key: round(figure, 4) if isinstance(figure, float) else figure
        for key, figure in figures.items()
        if key != "product_id"
    }


def binding(value: BindingRule, currency: str) -> dict[str, Any]:
    cost = _amount(value.cost_per_week, currency)
    return {"rule": value.rule, "sentence": value.sentence, "cost_per_week": cost}


def what_if(value: WhatIf, currency: str) -> dict[str, Any]:
    return {
        "current": point(value.current, currency),
        "chosen": point(value.chosen, currency),
        "broken": [binding(rule, currency) for rule in value.broken],
    }


def proposal(value: Proposal, product: PricedProduct, currency: str) -> dict[str, Any]:
    """Everything about a proposal but its state: that is the row's."""
    return {
        "name": product.name,
        "category": product.category,
        "currency": currency,
        "current": point(value.current, currency),
        "proposed": point(value.proposed, currency),
        "demand": demand(value.demand),
        "reason": value.reason,
        "binding": [binding(rule, currency) for rule in value.binding],
        "unit_cost": product.unit_cost,
        "cost_source": product.cost_source,
        "on_hand": product.on_hand,
        "stock_source": product.stock_source,
    }


def _amount(value: float, currency: str) -> float:
    return float(to_money(value, currency))
