"""The demand curve of one product, and what a week at a price is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retaild.api.pricing import Demand, PricePoint, PriceState
from retaild_plugins.trainers.price.config import PriceConfig

Vector = NDArray[np.float64]

#: A log price ratio beyond all sense.
_FAR = 10.0


@dataclass(frozen=True, slots=True)
class Objective:
    """What a week brings: share of margin and of revenue that count, and their common name."""

    margin: float
    revenue: float
    name: str

    @classmethod
    def choose(cls, config: PriceConfig, cost_known: bool) -> Objective:
        """As configured; revenue where the margin cannot be known."""
        if config.objective == "revenue" or not cost_known:
            return cls(0.0, 1.0, "revenue")
        if config.objective == "margin":
            return cls(1.0, 0.0, "margin")
        return cls(config.margin_weight, 1 - config.margin_weight, "margin and revenue")


@dataclass(frozen=True, slots=True)
class Curve:
    """units(price) = units_now * (price / price_now)^elasticity, in shelf prices with tax.

    `cautious` elasticities judge a change at `risk_aversion` standard errors to its disadvantage:
    a rise as if demand reacted more, a cut as if it reacted less.
    """

    demand: Demand
    price_now: float
    units_now: float
    cost: float | None
    tax: float
    objective: Objective
    cautious_rise: float
    cautious_cut: float

    @classmethod
    def of(cls, demand: Demand, state: PriceState, config: PriceConfig) -> Curve:
        doubt = config.risk_aversion * demand.standard_error
        ratio = state.price / demand.base_price
        return cls(
            demand=demand,
            price_now=state.price,
            units_now=demand.base_units * ratio**demand.elasticity,
            cost=state.unit_cost,
            tax=config.tax_rate,
            objective=Objective.choose(config, state.unit_cost is not None),
            cautious_rise=demand.elasticity - doubt,
            cautious_cut=min(demand.elasticity + doubt, config.elasticity_max),
        )

    def point(self, price: float) -> PricePoint:
        """The expected week; the band is that of the elasticity's 90 % interval."""
        ratio = price / self.demand.base_price
        ends = [self.demand.base_units * ratio**e for e in (self.demand.low, self.demand.high)]
        units = self.units_now * (price / self.price_now) ** self.demand.elasticity
        net = price / (1 + self.tax)
        return PricePoint(
            price=price,
            units=units,
            units_low=min(units, *ends),
            units_high=max(units, *ends),
            revenue=net * units,
            margin=None if self.cost is None else (net - self.cost) * units,
        )

    def cautious_value(self, price: float) -> float:
        """What a week at a price brings by the objective, seen cautiously."""
        ratio = price / self.price_now
        exponent = self.cautious_rise if ratio > 1 else self.cautious_cut
        return float(self._value(price, self.units_now * ratio**exponent))

    def cautious_values(self, prices: Vector) -> Vector:
        """`cautious_value` of each price."""
        ratio = prices / self.price_now
        exponent = np.where(ratio > 1, self.cautious_rise, self.cautious_cut)
        values: Vector = self._value(prices, self.units_now * ratio**exponent)
        return values

    def expected_value(self, price: float) -> float:
        units = self.units_now * (price / self.price_now) ** self.demand.elasticity
        return float(self._value(price, units))

    def _value(self, price: Any, units: Any) -> Any:
        net = price / (1 + self.tax)
        return (net - self.objective.margin * (self.cost or 0.0)) * units

    def price_for_units(self, units: float) -> float:
        """The price at which so many units a week are expected (kept finite at the extremes)."""
        if self.units_now <= 0:
            return 0.0
        demanded = math.log(max(units, 1e-9) / self.units_now) / self.demand.elasticity
        return self.price_now * math.exp(min(max(demanded, -_FAR), _FAR))
