"""Prices under rules: every proposal against a brute-force search written independently."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retaild_plugins.trainers.price.artifact import DemandTable
from retaild_plugins.trainers.price.config import (
    EndingBand,
    KeyValueItems,
    PriceConfig,
    Relation,
    Rules,
)
from retaild_plugins.trainers.price.grid import PriceGrid
from retaild_plugins.trainers.price.model import RuledPriceModel
from retaild_plugins.trainers.price.money import Currency

from retaild.api.pricing import PriceState, Proposal

ALLOWED_ENDINGS = (EndingBand(from_price=0, endings=("5", "9")),)
NO_RULES = Rules(
    margin_floor=0, max_increase=1, max_decrease=1, max_period_change=None, endings=(),
    stock_cover_weeks=0,
)  # fmt: skip
EXACT = PriceConfig(
    rules=NO_RULES, risk_aversion=0, min_gain=0, min_gain_share=0, unknown_cost="revenue"
)


@dataclass(frozen=True)
class Product:
    elasticity: float = -2.0
    deviation: float = 0.0
    units: float = 100.0
    base: float = 2.0
    lowest: float = 1.0
    highest: float = 4.0


def model_of(product: Product, config: PriceConfig, currency: str = "GBP") -> RuledPriceModel:
    def one(value: float) -> Any:
        return np.array([float(value)])

    spread = 1.645 * product.deviation
    table = DemandTable(
        product_ids=["A"], categories=["MUG"], category=np.zeros(1, np.int64),
        category_elasticity=one(product.elasticity), overall_elasticity=product.elasticity,
        elasticity=one(product.elasticity), deviation=one(product.deviation),
        low=one(product.elasticity - spread), high=one(product.elasticity + spread),
        base_units=one(product.units), base_price=one(product.base),
        price_min=one(product.lowest), price_max=one(product.highest),
        weeks=np.array([50]), prices=np.array([3]), tested_elasticity=one(product.elasticity),
        tested_category=one(product.elasticity), tested_from="2024-01-01",
        trained_until="2024-02-01",
    )  # fmt: skip
    return RuledPriceModel(table, config, currency)


def propose(product: Product, config: PriceConfig, state: PriceState) -> Proposal:
    found = model_of(product, config).propose(state)
    assert found is not None
    return found


# -- by hand -------------------------------------------------------------------------------------


def test_without_rules_the_price_is_the_textbooks() -> None:
    """Constant elasticity e: the best price is cost * e / (1 + e) = 1.20 * 2 / 1 = 2.40."""
    found = propose(Product(), EXACT, PriceState("A", 2.0, 1.2))
    assert found.proposed.price == 2.40
    # Units 100 * (2.4 / 2)^-2 = 69.44; margin (2.4 - 1.2) * 69.44 = 83.33, before it was 80.
    assert found.proposed.units == pytest.approx(69.444, abs=1e-3)
    assert found.proposed.margin == pytest.approx(83.333, abs=1e-3)
    assert found.current.margin == pytest.approx(80.0)
    assert "£2.40 instead of £2.00 should bring £3.33 more margin a week" in found.reason
    assert found.binding == ()


def test_a_step_binds_and_says_what_it_costs() -> None:
    """At most +10 %: 2.20, margin (2.20 - 1.20) * 100 / 1.21 = 82.64, which is 0.69 short of the
    83.33 without that rule."""
    config = EXACT.model_copy(update={"rules": NO_RULES.model_copy(update={"max_increase": 0.1})})
    found = propose(Product(), config, PriceState("A", 2.0, 1.2))
    assert found.proposed.price == 2.20
    (rule,) = found.binding
    assert rule.rule == "max_step"
    assert rule.cost_per_week == pytest.approx(83.3333 - 82.6446, abs=1e-3)


def test_what_is_known_little_moves_little() -> None:
    """The same product with a standard error of 1.5: a rise is judged at elasticity -3.5, at which
    2.00 is better than any higher price; a cut at -0.5, at which it is better than any lower."""
    unsure = replace(Product(), deviation=1.5)
    config = EXACT.model_copy(update={"risk_aversion": 1.0})
    found = propose(unsure, config, PriceState("A", 2.0, 1.2))
    assert found.proposed == found.current
    assert "already the best allowed price" in found.reason


def test_too_small_a_gain_is_not_worth_a_label() -> None:
    config = EXACT.model_copy(update={"min_gain": 5.0})
    found = propose(Product(), config, PriceState("A", 2.0, 1.2))
    assert found.proposed == found.current
    assert "at most £3.33 a week" in found.reason


def test_unknown_cost_prices_for_revenue_and_says_so() -> None:
    """Elasticity -0.5: revenue rises with the price, as far as the curve is believed: 4 * 1.25."""
    found = propose(Product(elasticity=-0.5), EXACT, PriceState("A", 2.0, None))
    assert found.proposed.price == 4.00  # +100 % is the largest step there is
    assert found.proposed.margin is None
    assert "unit cost is unknown" in found.reason


def test_unknown_cost_is_refused_unless_configured() -> None:
    model = model_of(Product(), PriceConfig())
    assert model.propose(PriceState("A", 2.0, None)) is None
    assert model.what_if(PriceState("A", 2.0, None), 2.2) is not None


def test_tax_is_not_margin() -> None:
    """20 % tax in the price: net 2.00 is 2.40 on the label. Best net price 1.2 * 2 = 2.40, so
    2.88 on the label."""
    config = EXACT.model_copy(update={"tax_rate": 0.2})
    found = propose(Product(base=2.4), config, PriceState("A", 2.4, 1.2))
    assert found.proposed.price == 2.88
    assert found.current.margin == pytest.approx((2.0 - 1.2) * 100)


def test_a_price_below_cost_is_lifted_in_steps() -> None:
    """Cost went to 3.00, a step is 10 %: no allowed price is in reach, so as far as it goes."""
    rules = NO_RULES.model_copy(update={"max_increase": 0.1, "margin_floor": 0.2})
    config = EXACT.model_copy(update={"rules": rules})
    found = propose(Product(), config, PriceState("A", 2.0, 3.0))
    assert found.proposed.price == 2.20
    assert "breaks a rule" in found.reason
    assert "3.75" in found.reason  # 3.00 / (1 - 0.2)
    assert found.binding[0].rule == "margin_floor"


def test_rules_that_contradict_leave_the_price() -> None:
    rules = NO_RULES.model_copy(update={"min_price": 3.0, "max_price": None})
    kvi = KeyValueItems(products=("A",))
    config = EXACT.model_copy(update={"rules": rules.model_copy(update={"key_value_items": kvi})})
    found = propose(Product(), config, PriceState("A", 2.0, 1.0, competitor_price=2.5))
    assert found.proposed == found.current
    assert "no step" in found.reason


def test_scarce_goods_are_not_made_cheaper() -> None:
    """150 in stock, 100 sell a week: 1.5 weeks. With 2 weeks of cover wanted, a cut is out."""
    rules = NO_RULES.model_copy(update={"stock_cover_weeks": 2.0})
    config = EXACT.model_copy(update={"rules": rules})
    dear = PriceState("A", 2.0, 0.4)  # best would be 0.80
    assert propose(Product(), config, dear).proposed.price < 2.0
    found = propose(Product(), config, replace(dear, on_hand=150.0))
    assert found.proposed.price >= 2.0
    assert any(rule.rule == "stock_cover" for rule in found.binding)


def test_a_cut_may_go_as_far_as_stock_lasts() -> None:
    """288.9 in stock for 2 weeks: 144.4 a week sell at 2 * (144.4 / 100)^(-1/2) = 1.6644."""
    rules = NO_RULES.model_copy(update={"stock_cover_weeks": 2.0})
    config = EXACT.model_copy(update={"rules": rules})
    found = propose(Product(), config, PriceState("A", 2.0, 0.4, on_hand=288.9))
    assert found.proposed.price == 1.67


def test_what_is_sold_out_keeps_its_price() -> None:
    found = propose(Product(), EXACT, PriceState("A", 2.0, 1.2, on_hand=0.0))
    assert found.proposed == found.current


def test_a_pack_is_no_dearer_by_the_piece() -> None:
    """A is a six-pack of B, which costs 0.35: at most 2.10, though 2.40 would bring more."""
    relation = Relation(product="A", other="B", max_ratio=6.0)
    rules = NO_RULES.model_copy(update={"relations": (relation,)})
    config = EXACT.model_copy(update={"rules": rules})
    assert model_of(Product(), config).related("A") == ["B"]
    assert model_of(Product(), config).related("B") == ["A"]
    state = PriceState("A", 2.0, 1.2, related={"B": (0.35, 0.39)})
    assert propose(Product(), config, state).proposed.price == 2.10


def test_the_single_looks_at_the_pack() -> None:
    """The same relation from below: A is the single, B the pack at 12.60: A at least 2.10."""
    relation = Relation(product="B", other="A", max_ratio=6.0)
    rules = NO_RULES.model_copy(update={"relations": (relation,)})
    config = EXACT.model_copy(update={"rules": rules})
    state = PriceState("A", 2.2, 0.8, related={"B": (12.6,)})  # best alone: 1.60
    assert propose(Product(), config, state).proposed.price == 2.10


def test_key_value_items_stay_near_the_competitor() -> None:
    items = KeyValueItems(categories=("MUG",), max_above=0.05)
    rules = NO_RULES.model_copy(update={"key_value_items": items})
    config = EXACT.model_copy(update={"rules": rules})
    state = PriceState("A", 2.0, 1.2, competitor_price=2.0)
    assert propose(Product(), config, state).proposed.price == 2.10
    assert propose(Product(), config, replace(state, competitor_price=None)).proposed.price == 2.40


def test_a_period_is_a_fence_around_its_first_price() -> None:
    rules = NO_RULES.model_copy(update={"max_period_change": 0.15})
    config = EXACT.model_copy(update={"rules": rules})
    state = PriceState("A", 2.0, 1.2, period_price=1.9)
    assert propose(Product(), config, state).proposed.price == 2.18  # 1.9 * 1.15 = 2.185


def test_what_if_names_every_rule_that_breaks() -> None:
    model = model_of(Product(), PriceConfig(rules=Rules(endings=ALLOWED_ENDINGS)))
    found = model.what_if(PriceState("A", 2.0, 1.9, on_hand=50.0), 1.51)
    assert found is not None
    names = {rule.rule for rule in found.broken}
    assert names == {"margin_floor", "max_step", "stock_cover", "price_endings"}
    assert found.chosen.margin == pytest.approx((1.51 - 1.9) * 100 * (1.51 / 2) ** -2)
    unchanged = model.what_if(PriceState("A", 2.0, 1.0), 2.0)
    assert unchanged is not None
    assert unchanged.broken == ()  # 2.00 ends in no 5 or 9, but it is there already


def test_the_band_is_that_of_the_elasticity() -> None:
    """At 1.00, half the base price: 100 * 2^2 = 400 units, between 2^(2 -+ 1.645 * 0.5)."""
    (point,) = model_of(replace(Product(), deviation=0.5), EXACT).curve(
        PriceState("A", 2.0, 1.0), [1.0]
    )
    assert point.units == pytest.approx(400)
    assert point.units_low == pytest.approx(100 * 2 ** (2 - 0.8225))
    assert point.units_high == pytest.approx(100 * 2 ** (2 + 0.8225))


def test_yen_have_no_decimals() -> None:
    product = Product(base=200, lowest=100, highest=400)
    found = model_of(product, EXACT, "JPY").propose(PriceState("A", 200.0, 120.0))
    assert found is not None
    assert found.proposed.price == 240
    assert "¥240" in found.reason


# -- the grid ------------------------------------------------------------------------------------

BANDS = (
    EndingBand(from_price=0, endings=("5", "9")),
    EndingBand(from_price=5, endings=(".49", ".99")),
    EndingBand(from_price=20, endings=("9.99",)),
)


@given(low=st.integers(-5, 4000), span=st.integers(0, 3000))
def test_the_grid_is_every_price_with_an_allowed_ending(low: int, span: int) -> None:
    high = low + span

    def allowed(price: int) -> bool:
        written = f"{price / 100:.2f}"
        if price < 500:
            return written[-1] in "59"
        if price < 2000:
            return written[-3:] in (".49", ".99")
        return written[-4:] == "9.99"

    expected = [price for price in range(max(low, 1), high + 1) if allowed(price)]
    grid = PriceGrid(BANDS, Currency("GBP"))
    assert grid.between(low, high).tolist() == expected


# -- brute force ---------------------------------------------------------------------------------


def money(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda pence: pence / 100)


PRODUCTS = st.builds(
    Product,
    elasticity=st.floats(-6, -0.2),
    deviation=st.sampled_from([0.0, 0.2, 0.8]),
    units=st.floats(0.5, 400),
    base=money(50, 1200),
    lowest=money(40, 1200),
    highest=money(40, 1200),
)
RULES = st.builds(
    Rules,
    margin_floor=st.sampled_from([0.0, 0.2, 0.5]),
    max_increase=st.sampled_from([0.0, 0.05, 0.1, 0.3]),
    max_decrease=st.sampled_from([0.0, 0.1, 0.4]),
    max_period_change=st.sampled_from([None, 0.1, 0.25]),
    endings=st.sampled_from([(), ALLOWED_ENDINGS, BANDS]),
    min_price=st.sampled_from([None, 1.0]),
    max_price=st.sampled_from([None, 9.0]),
    stock_cover_weeks=st.sampled_from([0.0, 2.0]),
    key_value_items=st.sampled_from([KeyValueItems(), KeyValueItems(products=("A",))]),
    relations=st.sampled_from([(), (Relation(product="A", other="B", max_ratio=2, min_ratio=1),)]),
)
CONFIGS = st.builds(
    PriceConfig,
    rules=RULES,
    objective=st.sampled_from(["margin", "revenue", "mixed"]),
    risk_aversion=st.sampled_from([0.0, 1.0]),
    min_gain=st.sampled_from([0.0, 2.0]),
    min_gain_share=st.sampled_from([0.0, 0.01]),
    tax_rate=st.sampled_from([0.0, 0.2]),
    unknown_cost=st.just("revenue"),
)
STATES = st.builds(
    PriceState,
    product_id=st.just("A"),
    price=money(50, 1200),
    unit_cost=st.none() | money(10, 900),
    on_hand=st.none() | st.floats(0, 3000),
    period_price=st.none() | money(50, 1200),
    competitor_price=st.none() | money(50, 1200),
    related=st.sampled_from([{}, {"B": (2.0,)}, {"B": (3.0, 3.5)}]),
)


class BruteForce:
    """All prices, penny by penny, each rule spelled out; nothing shared with the optimiser."""

    def __init__(self, product: Product, config: PriceConfig, state: PriceState) -> None:
        self.product, self.config, self.state = product, config, state
        self.now = round(state.price * 100)
        self.units_now = product.units * (state.price / product.base) ** product.elasticity

    def value(self, pence: int) -> float:
        config, state = self.config, self.state
        ratio = pence / 100 / state.price
        doubt = config.risk_aversion * self.product.deviation
        slope = self.product.elasticity + (-doubt if ratio > 1 else doubt)
        units = self.units_now * ratio ** min(slope, config.elasticity_max)
        net = pence / 100 / (1 + config.tax_rate)
        weight = {"margin": 1.0, "revenue": 0.0, "mixed": config.margin_weight}[config.objective]
        cost = 0.0 if state.unit_cost is None else state.unit_cost
        return float(units * (net - weight * cost))

    def firm(self, pence: int) -> bool:
        """Rules on where a price may be."""
        rules, state, price = self.config.rules, self.state, pence / 100
        slack = 1e-6
        if state.unit_cost is not None:
            margin = price / (1 + self.config.tax_rate) * (1 - rules.margin_floor)
            if margin < state.unit_cost - slack:
                return False
        if rules.min_price is not None and price < rules.min_price - slack:
            return False
        if rules.max_price is not None and price > rules.max_price + slack:
            return False
        known = "A" in rules.key_value_items.products and state.competitor_price is not None
        if known and price > (state.competitor_price or 0) + slack:
            return False
        if rules.relations:
            for other in state.related.get("B", ()):
                if not other - slack <= price <= 2 * other + slack:
                    return False
        return True

    def gradual(self, pence: int) -> bool:
        """Rules on how far a step may go."""
        rules, state, price = self.config.rules, self.state, pence / 100
        slack = 1e-6
        if pence == self.now:
            return True
        if price > state.price * (1 + rules.max_increase) + slack:
            return False
        if price < state.price * (1 - rules.max_decrease) - slack:
            return False
        if rules.max_period_change is not None and state.period_price is not None:
            high = max(state.period_price * (1 + rules.max_period_change), state.price)
            low = min(state.period_price * (1 - rules.max_period_change), state.price)
            if not low - slack <= price <= high + slack:
                return False
        if state.on_hand is None:
            return True
        if state.on_hand <= 0:
            return False
        if price < state.price and rules.stock_cover_weeks:
            units = self.units_now * (price / state.price) ** self.product.elasticity
            return bool(units * rules.stock_cover_weeks <= state.on_hand * (1 + 1e-6))
        return True

    def ends_well(self, pence: int) -> bool:
        bands = [band for band in self.config.rules.endings if pence >= band.from_price * 100]
        if not bands:
            return True
        return any(str(pence).zfill(4).endswith(e.replace(".", "")) for e in bands[-1].endings)

    def allowed(self) -> list[int]:
        beyond = self.config.max_extrapolation
        lowest = min(self.product.lowest, self.state.price) * (1 - beyond)
        highest = max(self.product.highest, self.state.price) * (1 + beyond)
        pence = range(max(math.ceil(lowest * 100 - 1e-6), 1), math.floor(highest * 100 + 1e-6) + 1)
        return [
            p for p in pence
            if self.firm(p) and self.gradual(p) and (self.ends_well(p) or p == self.now)
        ]  # fmt: skip


@given(product=PRODUCTS, config=CONFIGS, state=STATES)
def test_proposals_are_the_optimum_under_all_rules(
    product: Product, config: PriceConfig, state: PriceState
) -> None:
    brute = BruteForce(product, config, state)
    found = propose(product, config, state)
    chosen, allowed = round(found.proposed.price * 100), brute.allowed()
    if not allowed:
        # A broken rule out of reach: no allowed price is left behind, and the step rules hold.
        assert brute.gradual(chosen)
        assert chosen == brute.now or brute.ends_well(chosen)
        assert "breaks a rule" in found.reason
        return
    assert chosen in allowed
    best = max(brute.value(pence) for pence in allowed)
    value_now = brute.value(brute.now)
    if brute.firm(brute.now):
        wanted = max(config.min_gain, config.min_gain_share * abs(value_now))
        if chosen == brute.now:
            assert best - value_now <= wanted + 1e-6
        else:
            assert brute.value(chosen) == pytest.approx(best, rel=1e-9, abs=1e-9)
            assert best - value_now >= wanted - 1e-6
    else:
        assert brute.value(chosen) == pytest.approx(best, rel=1e-9, abs=1e-9)


COSTS = st.tuples(money(10, 900), money(1, 300))


@given(product=PRODUCTS, config=CONFIGS, state=STATES, costs=COSTS)
def test_a_higher_cost_never_lowers_the_price(
    product: Product, config: PriceConfig, state: PriceState, costs: tuple[float, float]
) -> None:
    # A least gain that is a share of what a product brings moves with the cost itself.
    config = config.model_copy(update={"min_gain_share": 0.0})
    cheap = replace(state, unit_cost=costs[0])
    dear = replace(state, unit_cost=costs[0] + costs[1])
    if not all(BruteForce(product, config, at).allowed() for at in (cheap, dear)):
        return  # it moves towards what is allowed, wherever that lies
    before, after = (propose(product, config, at).proposed.price for at in (cheap, dear))
    assert after >= before


@given(product=PRODUCTS, config=CONFIGS, state=STATES)
def test_the_price_stays_on_its_own_optimum(
    product: Product, config: PriceConfig, state: PriceState
) -> None:
    """What is proposed breaks no rule by the model's own what-if, unless it says so."""
    model = model_of(product, config)
    found = model.propose(state)
    assert found is not None
    what_if = model.what_if(state, found.proposed.price)
    assert what_if is not None
    if BruteForce(product, config, state).allowed():
        assert what_if.broken == ()
    assert what_if.chosen == pytest.approx(found.proposed) or what_if.chosen == found.proposed


@given(product=PRODUCTS, config=CONFIGS, state=STATES)
def test_what_a_rule_costs_is_what_leaving_it_out_brings(
    product: Product, config: PriceConfig, state: PriceState
) -> None:
    """Checked for the step rule: the same search with a step of 100 % either way."""
    found = propose(product, config, state)
    brute = BruteForce(product, config, state)
    costs = {rule.rule: rule.cost_per_week for rule in found.binding}
    if not brute.firm(brute.now) or "max_step" not in costs:
        return
    free = config.rules.model_copy(update={"max_increase": 1.0, "max_decrease": 1.0})
    wide = BruteForce(product, config.model_copy(update={"rules": free}), state)
    beyond = max(wide.value(p) for p in wide.allowed() if p <= 2 * wide.now)
    chosen = round(found.proposed.price * 100)
    assert costs["max_step"] >= beyond - brute.value(chosen) - 1e-6
