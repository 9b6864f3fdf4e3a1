"""Proposals are decided exactly once, whoever asks, and whenever somebody pulls the plug."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from retaild.api.bus import Entry
from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.events import Price
from retaild.events.codec import decode_table
from retaild.runtime.pricing.decisions import Decisions, emit_to
from retaild.runtime.pricing.errors import DecidedError, UnknownProposalError
from retaild.runtime.pricing.journal import Journal
from retaild.runtime.pricing.ledger import Ledger
from retaild.runtime.state import State
from retaild.testing.memory_bus import MemoryBus

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


class PowerCutError(Exception):
    pass


@dataclass
class Shop:
    """A state with one open proposal, 2.00 -> 1.80, and a log of emitted events."""

    root: Path
    events: list[Price] = field(default_factory=list)
    history: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.state = State(self.root / "state.db")
        self.open("one", "2.00", "1.80")

    def open(self, proposal_id: str, current: str, proposed: str) -> None:
        self.state.replace_open_proposals([row(proposal_id, current, proposed)])

    def decisions(self, emit: Callable[[Price], None] | None = None) -> Decisions:
        return Decisions(
            state=self.state,
            journal=Journal(DataDir(self.root)),
            emit=emit or self.events.append,
            ledger=lambda _: self.history,
            now=lambda: NOW,
            currency="GBP",
        )

    def proposal(self, proposal_id: str = "one") -> dict[str, Any]:
        found = self.state.proposal(proposal_id)
        assert found is not None
        return found


def row(proposal_id: str, current: str, proposed: str) -> dict[str, Any]:
    return {
        "id": proposal_id, "product_id": "A", "created": NOW, "current_price": current,
        "proposed_price": proposed, "payload": {"reason": "It sells better.", "currency": "GBP"},
    }  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_an_approval_puts_the_price_in_force(shop: Shop) -> None:
    entry = shop.decisions().approve("one", "Ada", "fine")
    assert shop.events == [entry.event]
    event = entry.event
    assert (event.event_id, event.product_id, event.price) == ("price:one", "A", Decimal("1.80"))
    assert event.valid_from == datetime.fromtimestamp(NOW, UTC)
    assert (event.approved_by, event.reason) == ("Ada", "It sells better.")
    proposal = shop.proposal()
    assert (proposal["state"], proposal["decided_by"]) == ("approved", "Ada")
    assert proposal["comment"] == "fine"


def test_a_reduction_tells_the_lowest_price_of_30_days(shop: Shop) -> None:
    shop.history.observed = [(NOW - 60 * DAY, 2.0), (NOW - 20 * DAY, 1.95), (NOW - 15 * DAY, 2.0)]
    entry = shop.decisions().approve("one", "Ada")
    assert entry.is_reduction
    assert entry.lowest_30_days == Decimal("1.95")


def test_a_reduction_without_a_known_history_refers_to_the_present_price(shop: Shop) -> None:
    assert shop.decisions().approve("one", "Ada").lowest_30_days == Decimal("2.00")


def test_a_rise_announces_no_reduction(shop: Shop) -> None:
    shop.open("two", "2.00", "2.20")
    entry = shop.decisions().approve("two", "Ada")
    assert not entry.is_reduction
    assert entry.lowest_30_days is None


def test_nothing_is_decided_twice(shop: Shop) -> None:
    shop.decisions().approve("one", "Ada")
    with pytest.raises(DecidedError, match="approved by Ada"):
        shop.decisions().approve("one", "Bob")
    with pytest.raises(DecidedError):
        shop.decisions().reject("one", "Bob")
    assert len(shop.events) == 1


def test_a_rejection_leaves_the_price(shop: Shop) -> None:
    shop.decisions().reject("one", "Bob", "not now")
    assert shop.events == []
    assert shop.proposal()["state"] == "rejected"
    with pytest.raises(DecidedError, match="rejected by Bob"):
        shop.decisions().approve("one", "Ada")


def test_unknown_proposals_are_named(shop: Shop) -> None:
    with pytest.raises(UnknownProposalError, match="nonsense"):
        shop.decisions().approve("nonsense", "Ada")


def test_new_proposals_expire_the_open_ones(shop: Shop) -> None:
    shop.decisions().replace_open([row("two", "2.00", "1.90")])
    assert shop.proposal("one")["state"] == "expired"
    with pytest.raises(DecidedError, match="expired"):
        shop.decisions().approve("one", "Ada")


def test_a_power_cut_after_the_event_is_finished_by_whoever_comes_next(shop: Shop) -> None:
    """The event is out, the proposal still open: Bob's rejection finds it approved by Ada."""

    class Unplugged(State):
        def decide_proposal(self, *_: Any) -> bool:
            raise PowerCutError

    cut = replace(shop.decisions(), state=Unplugged(shop.state.path))
    with pytest.raises(PowerCutError):
        cut.approve("one", "Ada")
    assert shop.proposal()["state"] == "open"
    with pytest.raises(DecidedError, match="approved by Ada"):
        shop.decisions().reject("one", "Bob")
    assert shop.proposal()["decided_by"] == "Ada"
    first, again = shop.events
    assert first == again  # same id, same words: the lake keeps it once
    shop.decisions().recover()
    assert len(shop.events) == 2


def test_a_power_cut_before_the_event_is_finished_too(shop: Shop) -> None:
    def unplugged(_: Price) -> None:
        raise PowerCutError

    with pytest.raises(PowerCutError):
        shop.decisions(unplugged).approve("one", "Ada")
    assert shop.proposal()["state"] == "open"
    shop.decisions().replace_open([row("two", "2.00", "1.90")])
    assert shop.proposal("one")["state"] == "approved"
    assert [event.event_id for event in shop.events] == ["price:one"]


def test_many_hands_decide_once(shop: Shop) -> None:
    """Twelve threads approve and reject at the same moment: one wins, and all tell the same."""
    won: list[str] = []
    barrier = threading.Barrier(12)

    def decide(number: int) -> None:
        decisions = shop.decisions()
        barrier.wait()
        try:
            if number % 2:
                decisions.approve("one", f"approver {number}")
            else:
                decisions.reject("one", f"rejecter {number}")
            won.append(f"{'approver' if number % 2 else 'rejecter'} {number}")
        except RetaildError:
            pass

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    proposal = shop.proposal()
    assert proposal["decided_by"] == won[0]
    assert len(shop.events) == (1 if proposal["state"] == "approved" else 0)


def test_prices_enter_the_log_as_events(shop: Shop) -> None:
    bus = MemoryBus()
    shop.decisions(emit_to(bus)).approve("one", "Ada")
    (entry,) = bus.read(0)
    assert entry.entry == Entry("price", "json", 1, entry.entry.payload)
    (told,) = decode_table("price", "json", entry.entry.payload).to_pylist()
    assert (told["event_id"], told["price"]) == ("price:one", Decimal("1.8000"))
    assert told["proposal_id"] == "one"
