"""Why a price is proposed, in a sentence for the people who decide."""

from __future__ import annotations

from retaild.api.pricing import Demand
from retaild_plugins.trainers.price.curve import Curve
from retaild_plugins.trainers.price.money import Currency
from retaild_plugins.trainers.price.optimise import Optimum

#: Elasticities (absolute) up to which demand reacts so much.
_REACTIONS = ((0.7, "hardly reacts"), (1.3, "reacts moderately"), (2.5, "reacts clearly"))


def reason(optimum: Optimum, curve: Curve, currency: Currency) -> str:
    """One or two sentences: the demand, what the price should bring, and what is not known."""
    sentence = _OUTCOMES[optimum.outcome](optimum, curve, currency)
    return f"{sentence}{_caveat(curve)}"


def demand_in_words(demand: Demand) -> str:
    """Demand reacts clearly to price (elasticity −1.8 ± 0.3)."""
    strength = abs(demand.elasticity)
    words = next((text for limit, text in _REACTIONS if strength <= limit), "reacts strongly")
    figure = f"{demand.elasticity:.1f}".replace("-", "−")
    return f"Demand {words} to price (elasticity {figure} ± {demand.standard_error:.1f})"


def _better(optimum: Optimum, curve: Curve, currency: Currency) -> str:
    price = currency.amount(optimum.price)
    gain = curve.expected_value(price) - curve.expected_value(curve.price_now)
    return (
        f"{demand_in_words(curve.demand)}: {currency.write(price)} instead of "
        f"{currency.write(curve.price_now)} should bring {currency.write(gain)} more "
        f"{curve.objective.name} a week."
    )


def _must_move(optimum: Optimum, curve: Curve, currency: Currency) -> str:
    price = currency.amount(optimum.price)
    change = curve.expected_value(price) - curve.expected_value(curve.price_now)
    effect = f"{'more' if change >= 0 else 'less'} {curve.objective.name} a week"
    return (
        f"The present {currency.write(curve.price_now)} breaks a rule; "
        f"{currency.write(price)} is the best price that obeys all of them "
        f"({currency.write(abs(change))} {effect})."
    )


def _toward(optimum: Optimum, curve: Curve, currency: Currency) -> str:
    price = currency.amount(optimum.price)
    return (
        f"The present {currency.write(curve.price_now)} breaks a rule, and no allowed price lies "
        f"within one step: {currency.write(price)} goes as far as a step may. "
        f"{optimum.binding[0][0].sentence if optimum.binding else ''}".rstrip()
    )


def _stuck(optimum: Optimum, curve: Curve, currency: Currency) -> str:
    broken = f" {optimum.binding[0][0].sentence}" if optimum.binding else ""
    return (
        f"The present {currency.write(curve.price_now)} breaks a rule, but the other rules allow "
        f"no step towards one that obeys it.{broken}"
    )


def _small_gain(optimum: Optimum, curve: Curve, currency: Currency) -> str:
    return (
        f"{demand_in_words(curve.demand)}: no allowed price promises enough more "
        f"{curve.objective.name} than {currency.write(curve.price_now)} to be worth a change "
        f"(at most {currency.write(max(optimum.gain, 0.0))} a week)."
    )


def _best_already(optimum: Optimum, curve: Curve, currency: Currency) -> str:
    return (
        f"{demand_in_words(curve.demand)}: {currency.write(curve.price_now)} is already the best "
        f"allowed price."
    )


_OUTCOMES = {
    "better": _better,
    "must_move": _must_move,
    "toward": _toward,
    "stuck": _stuck,
    "small_gain": _small_gain,
    "best_already": _best_already,
}


def _caveat(curve: Curve) -> str:
    notes = ""
    if curve.demand.prices < 2:
        category = curve.demand.category
        like = "the whole range" if category in ("", "OTHER") else f"its category, {category}"
        notes += f" It has had one price only, so the elasticity is that of {like}."
    if curve.cost is None:
        notes += " Its unit cost is unknown: judged by revenue, without a margin rule."
    return notes
