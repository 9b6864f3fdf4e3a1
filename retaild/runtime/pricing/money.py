"""From a model's floats back to money."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from retaild.events.currency import minor_digits


def to_money(amount: float | Decimal | str, currency: str) -> Decimal:
    """The amount in whole minor units; halves go away from zero."""
    exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    return exact.quantize(Decimal(1).scaleb(-minor_digits(currency)), ROUND_HALF_UP)
