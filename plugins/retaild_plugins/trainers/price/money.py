"""Prices as whole minor units (pence, cents): grids and rules are exact there."""

from __future__ import annotations

import math

#: ISO 4217 currencies whose minor unit is not a hundredth.
_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_SIGNS = {"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥"}
#: Floats of money are right to far better than this share of a minor unit.
_FUZZ = 1e-6


class Currency:
    """Rounds to minor units, and writes amounts for people."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.digits = _DIGITS.get(code, 2)
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
