"""Sources that misbehave in a real daemon, beside one that does not.

Whatever one of them does: its neighbour's events go on arriving, nothing else is started again,
it ends in quarantine with the reason and its last words, and after a `resume` it goes on where it
was: nothing is missing, nothing was skipped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from .wild.retaild_wild import BEFORE, HOW, TOTAL
from .wild_house import WildHouse, alive, eventually, wild_house

#: The neighbour's longest silence, in seconds. It sends an event every 20 ms and hears of each
#: when it is durable; on a quiet machine the longest is a tenth of this (docs/benchmarks.md).
BOUND = 2.0
#: Failures until quarantine; the slow ones are waited for twice only.
FAILURES, SLOW_FAILURES = 3, 2

#: How -> (what the reason says, what its last lines hold), as patterns.
CASES = {
    "raises": ("the till speaks Klingon", "I looked at the till"),
    "exits": ("", "good bye"),
    "raises_system_exit": ("", "enough"),
    "segfaults": ("killed by SIGSEGV", "in segfaults"),
    "leaks": ("it used .* MiB of memory, 64 MiB are allowed|more memory", ""),
    "forks": ("it had .* processes, 6 are allowed", ""),
    "breaks_its_credit": ("more than 9 batches", "more than 9 batches"),
    "closes_everything": ("it hung: a call took longer than 4 s", ""),
    "hangs": ("it hung: a call took longer than 4 s", "in hangs"),
    "spins": ("it hung: a call took longer than 4 s", "in spins"),
    "burns": ("it hung: a call took longer than 4 s", "in spins"),
    "hangs_in_c": ("it hung: a call took longer than 4 s", "in hangs_in_c"),
    "ignores_sigterm": ("it hung: a call took longer than 4 s", ""),
    "imports_the_world": ("it used .* MiB of memory, 64 MiB are allowed", ""),
    "floods_the_log": ("it hung: a call took longer than 4 s", r"\[cut\]$"),
}
#: Each of these is waited for until it counts as hung.
SLOW = {
    "hangs",
    "spins",
    "burns",
    "hangs_in_c",
    "ignores_sigterm",
    "closes_everything",
    "floods_the_log",
}

CONFIG = """
[source.steady]
plugin = "steady"
folder = "."
"""
ONE = """
[source.{how}]
plugin = "wild"
folder = "."
how = "{how}"
[source.{how}.limits]
failures = {failures}
hung_seconds = 4
memory_mib = 64
processes = 6
"""


def failures(how: str) -> int:
    return SLOW_FAILURES if how in SLOW else FAILURES


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WildHouse]:
    """All of them in one daemon: each begins when it is told to."""
    config = CONFIG + "".join(ONE.format(how=how, failures=failures(how)) for how in HOW)
    with wild_house(tmp_path_factory.mktemp("wild"), config) as house:
        eventually(lambda: len(house.events("steady")) > 20)
        yield house


def whole(how: str) -> list[str]:
    return [f"{how}-{number}" for number in range(1, TOTAL + 1)]


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=pytest.mark.slow if how in SLOW else ()) for how in CASES]
)
def test_it_ends_in_quarantine_and_its_neighbour_goes_on(house: WildHouse, how: str) -> None:
    name = f"source.{how}"
    reason, words = CASES[how]
    eventually(lambda: len(house.events(how)) == BEFORE)
    before, daemon, since = house.pids(), house.daemon(), time.monotonic()

    house.tell(how, "go")
    row = eventually(lambda: house.row(name)["state"] == "quarantined" and house.row(name), 60)
    held = house.store.held("source", how)
    assert re.search(f"^{failures(how)} failures within 600 s, the last: ", held.reason)
    assert re.search(reason, held.reason), held.reason
    assert re.search(words, "\n".join(held.lines)), held.lines
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "".join(held.lines))
    assert house.alerts()[f"instance.{name}.quarantined"] == "error"
    assert row["restarts"] - before[name][1] == failures(how)
    _pauses_grow(house, how)
    eventually(lambda: _left(house, how) == [], 3)

    house.tell(how, "mended")
    house.ask("resume-instance", kind="source", name=how, reason="", by="test")
    eventually(lambda: house.row(name)["state"] == "running")
    eventually(lambda: set(whole(how)) <= set(house.events(how)))
    time.sleep(0.2)
    assert [one for one in house.events(how) if one in whole(how)] == whole(how)
    assert f"instance.{name}.quarantined" not in house.alerts()

    assert house.longest_gap(since) < BOUND
    after = house.pids()
    assert {n: p for n, p in after.items() if n != name} == {
        n: p for n, p in before.items() if n != name
    }
    assert house.daemon() == daemon


def _pauses_grow(house: WildHouse, how: str) -> None:
    """The daemon's own log tells them."""
    text = (house.folder / "output").read_text()
    found = re.findall(rf"source\.{how} ended .*next start in ([0-9.]+) s", text)
    count = failures(how) - 1
    assert [float(pause) for pause in found[-count:]] == [0.05, 0.1][:count]


def _left(house: WildHouse, how: str) -> list[int]:
    """Children of it that still live."""
    path = house.folder / f"{how}.children"
    pids = [int(line) for line in path.read_text().split()] if path.exists() else []
    assert bool(pids) == (how == "forks")
    return [pid for pid in pids if alive(pid)]


def test_a_flood_of_events_has_its_turn_and_no_more(house: WildHouse) -> None:
    """It breaks no rule: a person ends it. What it sent counts once in the lake, by its ids."""
    how = "floods_its_queue"
    eventually(lambda: len(house.events(how)) == BEFORE)
    before, since = house.pids(), time.monotonic()
    house.tell(how, "go")
    time.sleep(3)
    assert house.row(f"source.{how}")["state"] == "running"
    house.ask("quarantine-instance", kind="source", name=how, reason="it floods", by="test")
    eventually(lambda: house.row(f"source.{how}")["state"] == "quarantined")
    flood = [one for one in house.events(how) if "-flood-" in one]
    assert len(flood) > 50_000
    house.tell(how, "mended")
    house.ask("resume-instance", kind="source", name=how, reason="", by="test")
    eventually(lambda: [x for x in house.events(how) if "-flood-" not in x] == whole(how), 60)
    assert house.longest_gap(since) < BOUND
    assert {n: p for n, p in house.pids().items() if how not in n} == {
        n: p for n, p in before.items() if how not in n
    }


def test_a_person_s_quarantine_is_orderly_and_nothing_is_skipped(house: WildHouse) -> None:
    began = time.monotonic()
    house.ask("quarantine-instance", kind="source", name="steady", reason="", by="test")
    eventually(lambda: house.row("source.steady")["state"] == "quarantined")
    assert time.monotonic() - began < 3
    count = len(house.events("steady"))
    house.ask("resume-instance", kind="source", name="steady", reason="", by="test")
    eventually(lambda: len(house.events("steady")) > count + 5)
    ids = house.events("steady")
    assert ids == [f"steady-{number}" for number in range(1, len(ids) + 1)]
