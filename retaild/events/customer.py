"""What the store knows of a customer beyond the receipts."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from retaild.events.base import Event, Identifier, Text


class Customer(Event):
    """A customer as of `event_time`; a field left out keeps its last known value."""

    family: ClassVar[str] = "customer"

    customer_id: Identifier
    segment: Text | None = None
    country: Text | None = None
    consent: bool | None = Field(default=None, description="May be addressed personally.")
