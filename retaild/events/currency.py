"""Minor units of currencies (ISO 4217): how many decimals an amount has when people see it."""

from __future__ import annotations

#: Where the minor unit is not a hundredth.
_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def minor_digits(currency: str) -> int:
    """Decimals of a currency's minor unit: 2 for GBP, 0 for JPY, 3 for KWD."""
    return _DIGITS.get(currency, 2)
