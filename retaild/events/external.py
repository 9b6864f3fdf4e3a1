"""Feeds from outside: weather, holidays, competitors' prices."""

from __future__ import annotations

from typing import ClassVar

from retaild.events.base import Event, Identifier, Text


class External(Event):
    """One value of a named outside series."""

    family: ClassVar[str] = "external"

    topic: Identifier
    subject: Identifier
    value: float | None = None
    text: Text | None = None
