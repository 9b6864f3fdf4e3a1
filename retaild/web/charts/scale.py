"""Linear scales with round ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps low..high to 0..100 (percent of the plot), or to 100..0 for an axis that points up."""

    low: float
    high: float
    upward: bool = False

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = 0.5 if span == 0 else (value - self.low) / span
        return round(100 * (1 - share if self.upward else share), 3)

    def clamped(self, value: float) -> float:
        return self(min(max(value, self.low), self.high))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2, 2.5 or 5 times a power of ten apart) within low..high."""
    step = step_size(low, high, about)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) + 0.0 for index in range(first, last + 1)]


def step_size(low: float, high: float, about: int) -> float:
    """The round step that divides low..high into at most `about` parts."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999999)


def axis(
    low: float, high: float, about: int = 4, *, upward: bool = False
) -> tuple[Scale, list[float]]:
    """A scale widened to round ends, and its ticks: both ends are among them."""
    if low == high:
        low, high = low - 1, high + 1
    step = step_size(low, high, about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    scale = Scale(round(first * step, 10), round(last * step, 10), upward)
    return scale, [round(index * step, 10) + 0.0 for index in range(first, last + 1)]
