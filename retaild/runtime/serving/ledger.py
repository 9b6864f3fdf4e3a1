"""Prices of one product over time: announced ones, and those observed at the till.

At a moment the price is the announced one in force (the latest begun wins), else the last that was
observed. The lowest price of the 30 days before a reduction is directive 98/6/EC, article 6a.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

THIRTY_DAYS = 30 * 86_400.0


@dataclass(frozen=True, slots=True, order=True)
class Announcement:
    """A price event; ordered by when it begins, then by when it was said."""

    valid_from: float
    said: float
    event_id: str
    price: float
    currency: str
    price_type: str = "regular"
    valid_to: float | None = field(default=None, compare=False)
    reason: str | None = field(default=None, compare=False)
    proposal_id: str | None = field(default=None, compare=False)
    approved_by: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, event: dict[str, Any]) -> Announcement:
        """From a price event with times in seconds."""
        return cls(
            event["valid_from"], event["event_time"], event["event_id"], event["price"],
            event["currency"], event.get("price_type") or "regular", event.get("valid_to"),
            event.get("reason"), event.get("proposal_id"), event.get("approved_by"),
        )  # fmt: skip

    def holds(self, moment: float) -> bool:
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


@dataclass(slots=True)
class Ledger:
    """`observed` is (time, price), oldest first; `announced` likewise ordered."""

    observed: list[tuple[float, float]] = field(default_factory=list)
    announced: list[Announcement] = field(default_factory=list)

    def announce(self, announcement: Announcement) -> None:
        insort(self.announced, announcement)

    def in_force(self, moment: float) -> Announcement | None:
        """The announced price that holds at `moment`: of several the one begun last."""
        return next((a for a in reversed(self.announced) if a.holds(moment)), None)

    def current(self, moment: float) -> float | None:
        """The price at `moment`; None if none is known by then."""
        announced = self.in_force(moment)
        return self._observed(moment) if announced is None else announced.price

    def since(self, moment: float) -> float | None:
        """When the price of `moment` began."""
        announced = self.in_force(moment)
        if announced is not None:
            return announced.valid_from
        return next((at for at, _ in reversed(self.observed) if at <= moment), None)

    def lowest(self, before: float, span: float = THIRTY_DAYS) -> float | None:
        """The lowest price in force at any moment of [before - span, before)."""
        start = before - span
        moments = [start, *(m for m in self._changes() if start < m < before)]
        prices = [price for m in moments if (price := self.current(m)) is not None]
        return min(prices, default=None)

    def next_change(self, moment: float) -> float | None:
        """When an announced price next begins or ends after `moment`."""
        return min((m for m in self._turns() if m > moment), default=None)

    def _observed(self, moment: float) -> float | None:
        return next((price for at, price in reversed(self.observed) if at <= moment), None)

    def _turns(self) -> Iterable[float]:
        for announcement in self.announced:
            yield announcement.valid_from
            if announcement.valid_to is not None:
                yield announcement.valid_to

    def _changes(self) -> Iterable[float]:
        yield from (at for at, _ in self.observed)
        yield from self._turns()
