"""From a model's floats back to money."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

#: ISO 4217 minor units where they are not hundredths.
_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def minor_digits(currency: str) -> int:
    """Decimals of a currency's minor unit: 2 for GBP, 0 for JPY, 3 for KWD."""
    return _DIGITS.get(currency, 2)


def to_money(amount: float | Decimal | str, currency: str) -> Decimal:
    """The amount in whole minor units; halves go away from zero."""
    exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    return exact.quantize(Decimal(1).scaleb(-minor_digits(currency)), ROUND_HALF_UP)
