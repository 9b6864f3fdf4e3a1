"""Master data of a product."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from retaild.events.base import Currency, Event, Identifier, Money, Text


class Product(Event):
    """A product as it is from `event_time` on; a field left out keeps its last known value."""

    family: ClassVar[str] = "product"

    product_id: Identifier
    name: Text | None = None
    category: Text | None = None
    brand: Text | None = None
    gtin: str | None = Field(default=None, pattern=r"^\d{8,14}$")
    unit_cost: Money | None = Field(default=None, description="What the store pays for one.")
    currency: Currency | None = None
    image_url: Text | None = None
    excluded: bool | None = Field(default=None, description="Never recommend it.")
