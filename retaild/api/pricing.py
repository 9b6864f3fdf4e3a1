"""What the server and the proposal job ask of a price model.

Money is float in here and only in here: it has entered a model. What comes out is rounded to the
currency's minor unit before anyone sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Demand:
    """The demand model of one product: units a week = base_units x (price / base_price)^elasticity.

    `elasticity` is shrunk to its category; `low` and `high` bound its 90 % interval. `weeks` is how
    many weeks of sales and `prices` how many different prices it was learned from.
    """

    product_id: str
    elasticity: float
    standard_error: float
    low: float
    high: float
    base_units: float
    base_price: float
    category: str
    category_elasticity: float
    weeks: int
    prices: int


@dataclass(frozen=True, slots=True)
class PriceState:
    """A product as it is priced now. `unit_cost` None: unknown, so no margin rule can hold."""

    product_id: str
    price: float
    unit_cost: float | None
    on_hand: float | None = None
    #: Price at the start of the current period, for the change-per-period rule.
    period_price: float | None = None
    #: Lowest price of the last 30 days, announced with a reduction (EU 98/6/EC art. 6a).
    lowest_30_days: float | None = None
    #: What competitors ask for it, for the rule on key value items.
    competitor_price: float | None = None
    #: Product id -> the prices it has or may soon have, for the rules on related products.
    related: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BindingRule:
    """A rule that kept the price from where it would have gone, and what that costs a week."""

    rule: str
    sentence: str
    cost_per_week: float


@dataclass(frozen=True, slots=True)
class PricePoint:
    """Expected week at one price. Units have a 90 % band from the elasticity's uncertainty."""

    price: float
    units: float
    units_low: float
    units_high: float
    revenue: float
    #: None when the unit cost is unknown.
    margin: float | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A better price, or the same one (`proposed.price == current.price`), with why."""

    product_id: str
    current: PricePoint
    proposed: PricePoint
    demand: Demand
    reason: str
    binding: tuple[BindingRule, ...] = ()


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a price chosen by a person would do, and the rules it would break."""

    current: PricePoint
    chosen: PricePoint
    broken: tuple[BindingRule, ...] = field(default=())


class PriceModel(Protocol):
    """A loaded model with its rules. Thread-safe: it never changes."""

    @property
    def period_days(self) -> int:
        """How long the period of `PriceState.period_price` is."""

    @property
    def max_proposals(self) -> int:
        """Most proposals that one run should bring before people."""

    def related(self, product_id: str) -> Sequence[str]:
        """Products whose prices `PriceState.related` should hold for this one."""

    def demand(self, product_id: str) -> Demand | None:
        """None for a product it has not learned."""

    def curve(self, state: PriceState, prices: Sequence[float]) -> list[PricePoint]: ...

    def propose(self, state: PriceState) -> Proposal | None:
        """None where the product was not learned."""

    def what_if(self, state: PriceState, price: float) -> WhatIf | None: ...
