"""Prices that the store announces: the append-only ledger is made of these."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from retaild.events.base import Currency, Event, Identifier, Moment, Money, Text


class PriceType(StrEnum):
    REGULAR = "regular"
    PROMOTION = "promotion"


class Price(Event):
    """The price of a product from `valid_from` (UTC) until the next one or `valid_to`."""

    family: ClassVar[str] = "price"

    product_id: Identifier
    price: Money
    currency: Currency
    price_type: PriceType = PriceType.REGULAR
    valid_from: Moment
    valid_to: Moment | None = None
    reason: Text | None = None
    proposal_id: Identifier | None = None
    approved_by: Text | None = None
