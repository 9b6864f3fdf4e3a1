"""How much of a product a store holds."""

from __future__ import annotations

from typing import ClassVar

from retaild.events.base import Event, Identifier, Quantity


class Stock(Event):
    """A count: `on_hand` replaces what was known before, it is not a movement."""

    family: ClassVar[str] = "stock"

    product_id: Identifier
    on_hand: Quantity
