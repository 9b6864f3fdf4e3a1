"""Lines of till receipts and web orders."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from retaild.events.base import Currency, Event, Identifier, Money, Quantity, Text


class LineType(StrEnum):
    """What a receipt line stands for. Only `sale` and `return` move goods of the range."""

    SALE = "sale"
    RETURN = "return"  # goods back or a cancelled line; quantity is negative
    SERVICE = "service"  # postage, bank charges, manual entries: no product of the range
    ADJUSTMENT = "adjustment"  # price of zero or less: write-offs, samples, bad debt


class Sale(Event):
    """One line of a receipt.

    The line's amount is `amount` where the till states it, else quantity x unit_price - discount.
    """

    family: ClassVar[str] = "sale"

    receipt_id: Identifier
    product_id: Identifier
    description: Text | None = None
    quantity: Quantity
    unit_price: Money
    discount: Money = Field(
        default=Decimal(0), description="Taken off the whole line; not negative.", ge=0
    )
    amount: Money | None = Field(default=None, description="What the till says the line came to.")
    currency: Currency
    customer_id: Identifier | None = None
    country: Text | None = None
    line_type: LineType = LineType.SALE
