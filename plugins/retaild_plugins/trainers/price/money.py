"""Prices as whole minor units (pence, cents): grids and rules are exact there."""

from __future__ import annotations

import math

from retaild.events.currency import minor_digits

_SIGNS = {"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥"}
#: Floats of money are right to far better than this share of a minor unit.
_FUZZ = 1e-6


class Currency:
    """Rounds to minor units, and writes amounts for people."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.digits = minor_digits(code)
        self.scale: int = 10**self.digits

    def nearest(self, amount: float) -> int:
        return math.floor(amount * self.scale + 0.5)

    def at_least(self, amount: float) -> int:
        """The least number of minor units that is not below `amount`."""
        return math.ceil(amount * self.scale - _FUZZ)

    def at_most(self, amount: float) -> int:
        return math.floor(amount * self.scale + _FUZZ)

    def amount(self, minor: int) -> float:
        return minor / self.scale

    def write(self, amount: float) -> str:
        """£12.30; JPY has no decimals; other currencies by code: 'CHF 12.30'."""
        sign = _SIGNS.get(self.code, f"{self.code} ")
        return f"{'-' if amount < 0 else ''}{sign}{abs(amount):,.{self.digits}f}"
