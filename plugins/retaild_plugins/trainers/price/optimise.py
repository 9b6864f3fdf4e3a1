"""The best allowed price: exact, because every allowed price is looked at.

Rules are the set over which the maximum is taken. The objective is the week's value seen
cautiously (`Curve.cautious_value`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from retaild_plugins.trainers.price.curve import Curve, Vector
from retaild_plugins.trainers.price.grid import Grid, PriceGrid
from retaild_plugins.trainers.price.money import Currency
from retaild_plugins.trainers.price.rules import Limit

#: Prices that are looked at where no ending is prescribed: a finer step changes nothing.
_FINEST = 4096

Outcome = Literal["better", "small_gain", "best_already", "must_move", "toward", "stuck"]


@dataclass(frozen=True, slots=True)
class Optimum:
    """The chosen price (minor units), how it came about, its gain over the present price as the
    objective sees it, and what each rule that binds costs a week.

    `must_move`: the present price breaks a rule. `toward`: it does, and a step reaches no allowed
    price, so it goes as far as a step may. `stuck`: it does, and nothing can be done.
    """

    price: int
    outcome: Outcome
    gain: float
    binding: tuple[tuple[Limit, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """The set of prices that are possible for one product, under all its rules."""

    curve: Curve
    grid: PriceGrid
    currency: Currency
    limits: Sequence[Limit]
    #: The interval in which the demand curve is believed, in minor units.
    low: int
    high: int
    endings: Limit
    least_gain: float
    least_share: float

    def run(self) -> Optimum:
        now = self.currency.nearest(self.curve.price_now)
        value_now = self.curve.cautious_value(self.currency.amount(now))
        prices = self.grid.between(self.low, self.high)
        values = self._values(prices)
        low, high = self._interval(None)
        best, value = self._best(prices, values, low, high, now)
        compliant = all(limit.allows(now) for limit in self.limits)
        if best is None:
            return self._toward(now, prices)
        gain = value - value_now
        wanted = max(self.least_gain, self.least_share * abs(value_now))
        if not compliant:
            binding = self._binding(prices, values, now, value, 0.0)
            return Optimum(best, "must_move", gain, binding)
        if best != now and gain >= wanted:
            binding = self._binding(prices, values, now, value, 0.0)
            return Optimum(best, "better", gain, binding)
        # It stays: only rules without which it would not are worth a word.
        binding = self._binding(prices, values, now, value_now, wanted)
        outcome: Outcome = "best_already" if best == now else "small_gain"
        return Optimum(now, outcome, gain, binding)

    def _values(self, prices: Grid) -> Vector:
        return self.curve.cautious_values(prices / self.currency.scale)

    def _interval(self, without: Limit | None) -> tuple[int, int]:
        low, high = self.low, self.high
        for limit in self.limits:
            if limit is not without:
                low, high = max(low, limit.low), min(high, limit.high)
        return low, high

    def _best(
        self,
        prices: Grid,
        values: Vector,
        low: int,
        high: int,
        now: int,
    ) -> tuple[int | None, float]:
        """The best of the allowed prices in low..high and, if it lies there, of the present one
        (which may stay whatever it ends in)."""
        begin, end = np.searchsorted(prices, (low, high + 1))
        best, value = None, -np.inf
        if end > begin:
            at = begin + int(values[begin:end].argmax())
            best, value = int(prices[at]), float(values[at])
        if low <= now <= high:
            value_now = self.curve.cautious_value(self.currency.amount(now))
            if value_now >= value:
                return now, value_now
        return best, value

    def _binding(
        self,
        prices: Grid,
        values: Vector,
        now: int,
        value: float,
        wanted: float,
    ) -> tuple[tuple[Limit, float], ...]:
        """Rules without which the optimum would bring at least a minor unit more, and `wanted`."""
        least = max(wanted, 1 / self.currency.scale)
        interval = self._interval(None)
        costs = []
        for limit in self.limits:
            wider = self._interval(limit)
            if wider == interval:
                continue
            cost = self._best(prices, values, *wider, now)[1] - value
            if cost >= least:
                costs.append((limit, cost))
        cost = self._best_of_any_ending(*interval) - value
        if cost >= least:
            costs.append((self.endings, cost))
        return tuple(sorted(costs, key=lambda pair: -pair[1]))

    def _best_of_any_ending(self, low: int, high: int) -> float:
        if high < low:
            return -np.inf
        step = max((high - low) // _FINEST, 1)
        return float(self._values(np.arange(low, high + 1, step)).max())

    def _toward(self, now: int, prices: Grid) -> Optimum:
        """No allowed price within a step: as near to the allowed ones as a step may go."""
        firm = [limit for limit in self.limits if not limit.gradual]
        gradual = [limit for limit in self.limits if limit.gradual]
        low = max((limit.low for limit in firm), default=1)
        high = min((limit.high for limit in firm), default=now)
        broken = tuple((limit, 0.0) for limit in firm if not limit.allows(now))
        least = max((limit.low for limit in gradual), default=1)
        most = min((limit.high for limit in gradual), default=high)
        within = prices[(prices >= least) & (prices <= most)]
        chosen = now
        if low <= high and now < low and (rises := within[(within > now) & (within <= low)]).size:
            chosen = int(rises[-1])
        elif (
            low <= high and now > high and (cuts := within[(within < now) & (within >= high)]).size
        ):
            chosen = int(cuts[0])
        value = self.curve.cautious_value
        gain = value(self.currency.amount(chosen)) - value(self.currency.amount(now))
        return Optimum(chosen, "stuck" if chosen == now else "toward", gain, broken)
