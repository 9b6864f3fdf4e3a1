"""Failed sign-ins: the first is written, repeats are counted, a flood stays small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retaild.runtime.access import audit, refusals
from retaild.runtime.access.refusals import MAX_KINDS, WINDOW_SECONDS, Refusals
from retaild.runtime.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.db")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def entries(state: State) -> list[dict[str, Any]]:
    """Oldest first."""
    found: list[dict[str, Any]] = audit.entries(state, limit=500)["entries"][::-1]
    return found


def test_the_first_is_written_at_once_and_repeats_when_the_window_ends(state: State) -> None:
    clock = Clock()
    noted = Refusals(state, clock)
    for _ in range(5):
        noted.note("ann", "192.0.2.7", "wrong password")
    (first,) = entries(state)
    assert (first["who"], first["what"], first["target"]) == ("nobody", "session.refuse", "ann")
    assert first["after"] == {"reason": "wrong password", "address": "192.0.2.7", "attempts": 1}
    clock.now += WINDOW_SECONDS
    noted.note("ann", "192.0.2.7", "wrong password")
    _, repeats, anew = entries(state)
    assert repeats["after"]["attempts"] == 4
    assert repeats["after"]["first"] <= repeats["after"]["last"]
    assert anew["after"]["attempts"] == 1
    assert audit.verify(state).broken is None


def test_kinds_are_told_apart_by_name_network_and_reason(state: State) -> None:
    noted = Refusals(state)
    noted.note("ann", "192.0.2.7", "wrong password")
    noted.note("bob", "192.0.2.7", "wrong password")
    noted.note("ann", "192.0.2.8", "wrong password")
    noted.note("ann", "192.0.2.7", "too many attempts")
    noted.note("ann", "2001:db8::1", "wrong password")
    noted.note("ann", "2001:db8::2", "wrong password")  # the same household
    noted.note("", "192.0.2.7", "wrong password")
    assert len(entries(state)) == 6
    assert entries(state)[-1]["target"] == "(a name that is not known)"
    noted.flush()
    assert entries(state)[-1]["after"]["address"] == "2001:db8::1"


def test_a_flood_from_everywhere_is_a_few_entries(state: State) -> None:
    noted = Refusals(state)
    flood = 5000
    for number in range(flood):
        noted.note("", f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", "wrong")
    noted.flush()
    found = entries(state)
    assert len(found) <= 2 * (MAX_KINDS + 1)
    assert sum(entry["after"]["attempts"] for entry in found) == flood


def test_the_window_ends_by_itself(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "WINDOW_SECONDS", 0.2)
    noted = Refusals(state)
    noted.note("ann", "192.0.2.7", "wrong")
    noted.note("ann", "192.0.2.7", "wrong")
    assert noted._timer is not None
    noted._timer.join(5)
    assert [entry["after"]["attempts"] for entry in entries(state)] == [1, 1]
