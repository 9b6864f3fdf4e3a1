"""What customers do before they buy: on the web shop, in the app, at a kiosk."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from retaild.events.base import Event, Identifier, Quantity, Text


class Action(StrEnum):
    VIEW = "view"
    SEARCH = "search"
    BASKET_ADD = "basket_add"
    BASKET_REMOVE = "basket_remove"
    IMPRESSION = "impression"
    CLICK = "click"


class Activity(Event):
    """One step of a customer or of an anonymous session."""

    family: ClassVar[str] = "activity"

    action: Action
    customer_id: Identifier | None = None
    session_id: Identifier | None = None
    product_id: Identifier | None = None
    query: Text | None = None
    quantity: Quantity | None = None
