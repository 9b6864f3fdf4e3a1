"""The price model in service: learned demand, under the rules as they are configured now."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api.pricing import (
    BindingRule,
    Demand,
    PricePoint,
    PriceState,
    Proposal,
    WhatIf,
)
from retaild_plugins.trainers.price.artifact import DemandTable
from retaild_plugins.trainers.price.config import PriceConfig
from retaild_plugins.trainers.price.curve import Curve
from retaild_plugins.trainers.price.grid import PriceGrid
from retaild_plugins.trainers.price.money import Currency
from retaild_plugins.trainers.price.optimise import Search
from retaild_plugins.trainers.price.reasons import reason
from retaild_plugins.trainers.price.rules import UNLIMITED, Limit, RuleBook


class RuledPriceModel:
    """Implements `retaild.api.pricing.PriceModel`. Immutable, so safe from any thread."""

    def __init__(self, table: DemandTable, config: PriceConfig, currency: str) -> None:
        self.config = config
        self._table = table
        self._currency = Currency(currency)
        self._grid = PriceGrid(config.rules.endings, self._currency)
        self._rules = RuleBook(config, self._currency)
        self._row = {product: row for row, product in enumerate(table.product_ids)}

    @property
    def product_ids(self) -> list[str]:
        """Products whose demand was learned."""
        return list(self._table.product_ids)

    @property
    def period_days(self) -> int:
        return self.config.rules.period_days

    @property
    def max_proposals(self) -> int:
        """Most proposals that one run should bring before people."""
        return self.config.max_proposals

    def related(self, product_id: str) -> list[str]:
        return self._rules.related(product_id)

    def demand(self, product_id: str) -> Demand | None:
        row = self._row.get(product_id)
        if row is None:
            return None
        table, code = self._table, int(self._table.category[row])
        return Demand(
            product_id=product_id,
            elasticity=float(table.elasticity[row]),
            standard_error=float(table.deviation[row]),
            low=float(table.low[row]),
            high=float(table.high[row]),
            base_units=float(table.base_units[row]),
            base_price=float(table.base_price[row]),
            category=table.categories[code],
            category_elasticity=float(table.category_elasticity[code]),
            weeks=int(table.weeks[row]),
            prices=int(table.prices[row]),
        )

    def curve(self, state: PriceState, prices: Sequence[float]) -> list[PricePoint]:
        """Expected weeks at the prices; empty where the product was not learned."""
        curve = self._curve(state)
        return [] if curve is None else [curve.point(price) for price in prices]

    def propose(self, state: PriceState) -> Proposal | None:
        curve = self._curve(state)
        if curve is None or (state.unit_cost is None and self.config.unknown_cost == "refuse"):
            return None
        optimum = self._search(state, curve).run()
        price = self._currency.amount(optimum.price)
        binding = (BindingRule(rule.rule, rule.sentence, cost) for rule, cost in optimum.binding)
        unmoved = optimum.price == self._currency.nearest(state.price)
        current = curve.point(state.price)
        return Proposal(
            product_id=state.product_id,
            current=current,
            proposed=current if unmoved else curve.point(price),
            demand=curve.demand,
            reason=reason(optimum, curve, self._currency),
            binding=tuple(binding),
        )

    def what_if(self, state: PriceState, price: float) -> WhatIf | None:
        """The expected week at any price, and every rule that it would break."""
        curve = self._curve(state)
        if curve is None:
            return None
        minor = self._currency.nearest(price)
        unmoved = minor == self._currency.nearest(state.price)
        broken = [limit for limit in self._limits(state, curve) if not limit.allows(minor)]
        if not unmoved and not self._grid.holds(minor):
            broken.append(self._endings())
        return WhatIf(
            current=curve.point(state.price),
            chosen=curve.point(price),
            broken=tuple(BindingRule(rule.rule, rule.sentence, 0.0) for rule in broken),
        )

    def _curve(self, state: PriceState) -> Curve | None:
        demand = self.demand(state.product_id)
        if demand is None or not state.price > 0:
            return None
        return Curve.of(demand, state, self.config)

    def _limits(self, state: PriceState, curve: Curve) -> list[Limit]:
        weeks = self.config.rules.stock_cover_weeks
        cover = None
        if state.on_hand is not None and weeks > 0:
            cover = curve.price_for_units(state.on_hand / weeks)
        return self._rules.limits(state, curve.demand.category, cover)

    def _search(self, state: PriceState, curve: Curve) -> Search:
        row, beyond = self._row[state.product_id], self.config.max_extrapolation
        lowest = min(float(self._table.price_min[row]), state.price)
        highest = max(float(self._table.price_max[row]), state.price)
        return Search(
            curve=curve,
            grid=self._grid,
            currency=self._currency,
            limits=self._limits(state, curve),
            low=max(self._currency.at_least(lowest * (1 - beyond)), 1),
            high=self._currency.at_most(highest * (1 + beyond)),
            endings=self._endings(),
            least_gain=self.config.min_gain,
            least_share=self.config.min_gain_share,
        )

    def _endings(self) -> Limit:
        said = "Prices end as the rules for this price band say."
        return Limit("price_endings", 1, UNLIMITED, said)
