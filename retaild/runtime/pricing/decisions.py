"""Approving and rejecting price proposals: each is decided exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from retaild.api.bus import Bus, Entry
from retaild.events.cards import mask
from retaild.events.codec import encode_events
from retaild.events.price import Price
from retaild.runtime.pricing.errors import DecidedError, UnknownProposalError
from retaild.runtime.pricing.journal import Journal
from retaild.runtime.pricing.ledger import Ledger, lowest_price_30_days
from retaild.runtime.pricing.money import to_money
from retaild.runtime.state import State

#: The event's source, as pages show it.
SOURCE = "price-proposals"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A price as it entered the ledger. `lowest_30_days` is set for reductions only."""

    event: Price
    previous: Decimal
    lowest_30_days: Decimal | None

    @property
    def is_reduction(self) -> bool:
        return self.event.price < self.previous


@dataclass(frozen=True)
class Decisions:
    """Decides proposals. `emit` makes a price event durable (and may be called again with the
    same one); `ledger` gives a product's prices so far; `now` is the shop's clock in seconds.
    """

    state: State
    journal: Journal
    emit: Callable[[Price], None]
    ledger: Callable[[str], Ledger]
    now: Callable[[], float]
    currency: str
    store: str = "main"

    def approve(self, proposal_id: str, by: str, comment: str = "") -> LedgerEntry:
        """Put the proposed price in force from now on. Blocks for the disk, some milliseconds.

        The event is durable before the proposal counts as approved; after a crash in between, the
        next decision (or `recover`) finishes it. Raises UnknownProposalError, DecidedError.
        """
        with self.journal.alone():
            self._finish_begun()
            row = self._open(proposal_id)
            event = self._event(row, by)
            entry = self._entry(row, event)
            said = mask(comment)
            intent = {"event": event.model_dump(mode="json"), "by": by, "comment": said}
            self.journal.begin(proposal_id, intent)
            self._carry_out(proposal_id, intent)
            return entry

    def reject(self, proposal_id: str, by: str, comment: str = "") -> None:
        """Leave the price as it is. Raises UnknownProposalError, DecidedError."""
        with self.journal.alone():
            self._finish_begun()
            self._open(proposal_id)
            self.state.decide_proposal(proposal_id, "rejected", by, mask(comment))

    def replace_open(self, proposals: Sequence[Mapping[str, Any]]) -> None:
        """Expire the open proposals and open these, in one transaction."""
        with self.journal.alone():
            self._finish_begun()
            self.state.replace_open_proposals(proposals)

    def recover(self) -> None:
        """Finish approvals that a crash interrupted; harmless at any time."""
        with self.journal.alone():
            self._finish_begun()

    def _finish_begun(self) -> None:
        self.journal.finish(self._carry_out)

    def _carry_out(self, proposal_id: str, intent: Mapping[str, Any]) -> None:
        self.emit(Price.model_validate(intent["event"]))
        self.state.decide_proposal(proposal_id, "approved", intent["by"], intent["comment"])
        self.journal.end(proposal_id)

    def _open(self, proposal_id: str) -> dict[str, Any]:
        row = self.state.proposal(proposal_id)
        if row is None:
            raise UnknownProposalError(proposal_id)
        if row["state"] != "open":
            raise DecidedError(proposal_id, row["state"], row["decided_by"])
        return row

    def _event(self, row: Mapping[str, Any], by: str) -> Price:
        now = datetime.fromtimestamp(self.now(), UTC)
        return Price(
            event_id=f"price:{row['id']}",
            event_time=now,
            source=SOURCE,
            store=self.store,
            product_id=row["product_id"],
            price=to_money(row["proposed_price"], self._currency(row)),
            currency=self._currency(row),
            valid_from=now,
            reason=str(row["payload"].get("reason", ""))[:2000] or None,
            proposal_id=row["id"],
            approved_by=by[:2000] or None,
        )

    def _entry(self, row: Mapping[str, Any], event: Price) -> LedgerEntry:
        currency = self._currency(row)
        previous = to_money(row["current_price"], currency)
        if event.price >= previous:
            return LedgerEntry(event, previous, None)
        history = self.ledger(event.product_id)
        lowest = lowest_price_30_days(history, event.valid_from.timestamp())
        # The price that is now reduced was in force within the 30 days whatever the ledger knows.
        stated = previous if lowest is None else min(to_money(lowest, currency), previous)
        return LedgerEntry(event, previous, stated)

    def _currency(self, row: Mapping[str, Any]) -> str:
        return str(row["payload"].get("currency") or self.currency)


def emit_to(bus: Bus) -> Callable[[Price], None]:
    """Append price events to an open bus."""

    def emit(event: Price) -> None:
        bus.append([Entry("price", "json", 1, encode_events([event]))])

    return emit
