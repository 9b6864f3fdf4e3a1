"""The rules as limits on the price, in minor units; endings are the grid's."""

from __future__ import annotations

from dataclasses import dataclass

from retaild.api.pricing import PriceState
from retaild_plugins.trainers.price.config import PriceConfig, Relation
from retaild_plugins.trainers.price.money import Currency

#: Far beyond any price, yet safe in 64-bit arithmetic.
UNLIMITED = 10**12


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule allows prices low..high (minor units, both included); `sentence` says it to people.

    `gradual` rules bound a step, the others say where a price may be at all.
    """

    rule: str
    low: int
    high: int
    sentence: str
    gradual: bool = False

    def allows(self, price: int) -> bool:
        return self.low <= price <= self.high


class RuleBook:
    """The configured rules of one currency; `limits` applies them to a product."""

    def __init__(self, config: PriceConfig, currency: Currency) -> None:
        self._config = config
        self._rules = config.rules
        self._currency = currency
        self._relations: dict[str, list[tuple[Relation, bool]]] = {}
        for relation in config.rules.relations:
            self._relations.setdefault(relation.product, []).append((relation, True))
            self._relations.setdefault(relation.other, []).append((relation, False))
        self._kvi_products = frozenset(config.rules.key_value_items.products)
        self._kvi_categories = frozenset(config.rules.key_value_items.categories)

    def related(self, product_id: str) -> list[str]:
        """Products whose prices the rules of this one look at."""
        pairs = self._relations.get(product_id, [])
        return [pair.other if on_top else pair.product for pair, on_top in pairs]

    def limits(self, state: PriceState, category: str, cover_price: float | None) -> list[Limit]:
        """Every rule that applies. `cover_price`: the lowest price at which stock lasts."""
        return [
            *self._cost(state),
            *self._range(),
            *self._competitor(state, category),
            *self._related(state),
            *self._stock(state, cover_price),
            *self._steps(state),
        ]

    def _cost(self, state: PriceState) -> list[Limit]:
        if state.unit_cost is None:
            return []
        floor = self._rules.margin_floor
        least = state.unit_cost * (1 + self._config.tax_rate) / (1 - floor)
        low = self._currency.at_least(least)
        cost = self._currency.write(state.unit_cost)
        least_text = self._currency.write(self._currency.amount(low))
        said = (
            f"The margin stays at {floor:.0%} or more: with a cost of {cost} the price is at "
            f"least {least_text}."
            if floor
            else f"The price never goes below the cost of {cost}."
        )
        return [Limit("margin_floor", low, UNLIMITED, said)]

    def _range(self) -> list[Limit]:
        limits = []
        if self._rules.min_price is not None:
            low = self._currency.at_least(self._rules.min_price)
            said = f"No price goes below {self._currency.write(self._rules.min_price)}."
            limits.append(Limit("min_price", low, UNLIMITED, said))
        if self._rules.max_price is not None:
            high = self._currency.at_most(self._rules.max_price)
            said = f"No price goes above {self._currency.write(self._rules.max_price)}."
            limits.append(Limit("max_price", 1, high, said))
        return limits

    def _competitor(self, state: PriceState, category: str) -> list[Limit]:
        known = state.product_id in self._kvi_products or category in self._kvi_categories
        if not known or state.competitor_price is None:
            return []
        above = self._rules.key_value_items.max_above
        high = self._currency.at_most(state.competitor_price * (1 + above))
        theirs = self._currency.write(state.competitor_price)
        said = f"A key value item may cost at most {above:+.0%} of the competitor's {theirs}."
        return [Limit("key_value_item", 1, high, said)]

    def _related(self, state: PriceState) -> list[Limit]:
        limits = []
        for relation, on_top in self._relations.get(state.product_id, ()):
            prices = state.related.get(relation.other if on_top else relation.product, ())
            if not prices:
                continue
            least, most = relation.min_ratio, relation.max_ratio
            if not on_top:
                least, most = (1 / most if most else None), (1 / least if least else None)
            low = self._currency.at_least(max(prices) * least) if least else 1
            high = self._currency.at_most(min(prices) * most) if most else UNLIMITED
            other = relation.other if on_top else relation.product
            why = f" ({relation.reason})" if relation.reason else ""
            at = self._currency.write(prices[0])
            said = f"It keeps its relation to {other}, which costs {at}{why}."
            limits.append(Limit("relation", low, high, said))
        return limits

    def _stock(self, state: PriceState, cover_price: float | None) -> list[Limit]:
        if state.on_hand is None:
            return []
        now = self._currency.nearest(state.price)
        if state.on_hand <= 0:
            said = "It is out of stock: the price stays until it is back."
            return [Limit("stock_cover", now, now, said, gradual=True)]
        if cover_price is None or cover_price <= 0:
            return []
        low = min(self._currency.at_least(cover_price), now)
        weeks = self._rules.stock_cover_weeks
        said = f"At a lower price the {state.on_hand:,.0f} in stock would not last {weeks:g} weeks."
        return [Limit("stock_cover", low, UNLIMITED, said, gradual=True)]

    def _steps(self, state: PriceState) -> list[Limit]:
        rules, currency = self._rules, self._currency
        low = currency.at_least(state.price * (1 - rules.max_decrease))
        high = currency.at_most(state.price * (1 + rules.max_increase))
        limits = [
            Limit(
                "max_step",
                low,
                high,
                f"One step moves a price by at most +{rules.max_increase:.0%} "
                f"or -{rules.max_decrease:.0%}.",
                gradual=True,
            )
        ]
        if rules.max_period_change is not None and state.period_price is not None:
            change = rules.max_period_change
            begin = state.period_price
            said = (
                f"Within {rules.period_days} days a price moves by at most {change:.0%} from the "
                f"{currency.write(begin)} it started at."
            )
            low = currency.at_least(begin * (1 - change))
            high = currency.at_most(begin * (1 + change))
            # What has moved further already (by hand) may stay, but not move on.
            now = currency.nearest(state.price)
            limits.append(Limit("max_period", min(low, now), max(high, now), said, gradual=True))
        return limits
