"""A stranger's stream processor and bus that misbehave in a real daemon.

Whatever it does: the log goes on taking events, the server goes on answering, no other process is
started again; it ends in quarantine with the reason and its last words, a sink is told, and after a
`resume` the lake has every event once. What is nobody's fault of the processor never holds it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from retaild.api.lake import Lake
from tests.runtime.serving.shops import Till

from .wild_house import NEIGHBOURS, WildHouse, alive, eventually, wild_house

FAILURES = 2
CONFIG = f"""
{NEIGHBOURS}
[stream]
plugin = "wild-stream"
folder = "."
[stream.limits]
failures = {FAILURES}
memory_mib = 640
processes = 6
"""
HASTY = CONFIG + "hung_seconds = 12\n"

#: How -> (what the reason says, what its last lines hold), as patterns.
CASES = {
    "raises": ("RuntimeError: the engine speaks Klingon", "the engine speaks Klingon"),
    "exits": ("exit code 0", "stream exits"),
    "segfaults": ("killed by SIGSEGV", "retaild_wild"),
    "leaks": ("it used .* MiB of memory, 640 MiB are allowed", ""),
    "forks": ("it had 13 processes, 6 are allowed", "in forks"),
}
HANGING = {
    "hangs": ("no sign of life for 12 s", "in hangs"),
    "hangs_in_c": ("no sign of life for 12 s", "in hangs_in_c"),
}
SLOW = {"leaks", "forks"}


@contextmanager
def shop(folder: Path, config: str) -> Iterator[tuple[WildHouse, httpx.Client, Till]]:
    with wild_house(folder, config) as house:
        port = tomllib.loads(house.config.read_text())["api"]["port"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            eventually(lambda: len(house.events("steady")) > 20)
            yield house, client, Till()


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[WildHouse, httpx.Client, Till]]:
    with shop(tmp_path_factory.mktemp("stream"), CONFIG) as found:
        yield found


@pytest.fixture
def house(opened: tuple[WildHouse, httpx.Client, Till]) -> Iterator[WildHouse]:
    yield opened[0]
    behave(opened[0], None)


@pytest.fixture
def door(opened: tuple[WildHouse, httpx.Client, Till]) -> httpx.Client:
    return opened[1]


@pytest.fixture
def till(opened: tuple[WildHouse, httpx.Client, Till]) -> Till:
    return opened[2]


def behave(house: WildHouse, how: str | None, name: str = "stream") -> None:
    path: Path = house.folder / f"{name}.how"
    if how is None:
        path.unlink(missing_ok=True)
    else:
        new = path.with_suffix(".new")
        new.write_text(how)
        new.replace(path)


def works(house: WildHouse, door: httpx.Client, till: Till) -> None:
    """The doors take events, over HTTP and of a source, and the server answers."""
    before = len(house.events("steady"))
    sold = door.post("/api/v1/events", json=till.sale("ann", "PEN"))
    assert sold.status_code == 202, sold.text
    assert door.get("/health/live").status_code == 200
    offers = door.get("/api/v1/customers/ann/recommendations")
    assert offers.status_code == 200, offers.text
    eventually(lambda: len(house.events("steady")) > before + 5)


def lake_has_all(house: WildHouse, till: Till) -> None:
    """Each event that the log has had by now is in silver, once."""
    steady = set(house.events("steady"))
    sold = {f"e{number}" for number in range(1, till._number + 1)}

    def found(table: str) -> list[str]:
        lake = Lake(house.data.lake)
        rows: Any = lake.dataset(table).to_table(columns=["event_id"]) if lake.exists(table) else {}
        return rows["event_id"].to_pylist() if rows else []

    eventually(lambda: steady <= set(found("silver.stock")), 60)
    eventually(lambda: sold <= set(found("silver.sale")), 30)
    for ids in (found("silver.stock"), found("silver.sale")):
        assert len(ids) == len(set(ids))


def ctl(house: WildHouse, *words: str) -> str:
    command = [sys.executable, "-m", "retaild.cli", *words, "-c", str(house.config)]
    done = subprocess.run(
        command, env=house.environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def told(house: WildHouse, action: str) -> list[str]:
    """Summaries of what the sink was told of the stream's quarantine."""
    path = house.folder / "duty.told"
    notes = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    key = "instance.stream.quarantined"
    return [n["summary"] for n in notes if key in n["keys"] and n["action"] == action]


def others(house: WildHouse) -> dict[str, tuple[int, int]]:
    return {name: pid for name, pid in house.pids().items() if name != "stream"}


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=pytest.mark.slow if how in SLOW else ()) for how in CASES]
)
def test_it_ends_in_quarantine_and_the_shop_goes_on(
    house: WildHouse, door: httpx.Client, till: Till, how: str
) -> None:
    lake_has_all(house, till)
    restarts = house.row("stream")["restarts"]
    ends_in_quarantine(house, door, till, how)
    assert house.row("stream")["restarts"] - restarts == FAILURES


@pytest.mark.slow
def test_one_that_hangs_ends_there_too(tmp_path: Path) -> None:
    """Of what a busy machine holds up, some may count as hung besides."""
    with shop(tmp_path, HASTY) as (house, door, till):
        for how in HANGING:
            ends_in_quarantine(house, door, till, how)


def ends_in_quarantine(house: WildHouse, door: httpx.Client, till: Till, how: str) -> None:
    reason, words = (CASES | HANGING)[how]
    before, daemon, triggered = others(house), house.daemon(), len(told(house, "trigger"))
    behave(house, how)
    works(house, door, till)
    eventually(lambda: house.row("stream")["state"] == "quarantined", 180)
    held = house.store.held("stream", "stream")
    assert re.match(f"{FAILURES} failures within 1800 s, the last: ", held.reason)
    assert re.search(reason, held.reason), held.reason
    assert re.search(words, "\n".join(held.lines)), held.lines
    assert f"stream is quarantined: {held.reason}" in ctl(house, "status")
    eventually(lambda: _left(house, how) == [], 5)
    assert house.alerts()["instance.stream.quarantined"] == "error"
    eventually(lambda: len(told(house, "trigger")) > triggered)
    assert held.reason[:40] in told(house, "trigger")[-1]
    works(house, door, till)
    assert house.row("stream")["state"] == "quarantined"

    behave(house, None)
    said = ctl(house, "plugin", "resume", "stream", "stream")
    assert said == "Stream stream is out of quarantine.\n"
    lake_has_all(house, till)
    assert "instance.stream.quarantined" not in house.alerts()
    assert others(house) == before
    assert house.daemon() == daemon


def _left(house: WildHouse, how: str) -> list[int]:
    """Children of it that still live."""
    path = house.folder / "stream.children"
    pids = [int(line) for line in path.read_text().split()] if path.exists() else []
    assert bool(pids) >= (how == "forks")
    return [pid for pid in pids if alive(pid)]


def test_an_engine_that_is_away_is_waited_for(
    house: WildHouse, door: httpx.Client, till: Till
) -> None:
    lake_has_all(house, till)
    pid, failures = house.row("stream")["pid"], len(house.store.failures("stream", "stream"))
    behave(house, "is_away")
    eventually(lambda: house.log("stream").count("The engine is away.") > FAILURES + 2)
    works(house, door, till)
    behave(house, None)
    lake_has_all(house, till)
    assert house.row("stream")["pid"] == pid
    assert len(house.store.failures("stream", "stream")) == failures


def test_what_people_have_to_mend_holds_nobody(
    house: WildHouse, door: httpx.Client, till: Till
) -> None:
    """It says in words what is wrong: once that is mended it goes on without a hand."""
    lake_has_all(house, till)
    restarts, failures = (
        house.row("stream")["restarts"],
        len(house.store.failures("stream", "stream")),
    )
    behave(house, "complains")
    eventually(lambda: house.row("stream")["restarts"] > restarts + FAILURES, 60)
    assert house.store.held("stream", "stream").standing == "enabled"
    assert house.row("stream")["last_error"] == "The engine's licence has expired. Renew it."
    works(house, door, till)
    behave(house, None)
    lake_has_all(house, till)
    assert len(house.store.failures("stream", "stream")) == failures


def test_who_kills_it_from_outside_puts_it_under_no_suspicion(house: WildHouse, till: Till) -> None:
    failures = len(house.store.failures("stream", "stream"))
    for _ in range(FAILURES + 1):
        row = eventually(lambda: house.row("stream")["state"] == "running" and house.row("stream"))
        os.kill(row["pid"], signal.SIGKILL)
        eventually(lambda row=row: house.row("stream")["pid"] not in (row["pid"], None))
    lake_has_all(house, till)
    assert house.store.held("stream", "stream").standing == "enabled"
    assert len(house.store.failures("stream", "stream")) == failures


def test_a_person_holds_it_and_lets_it_go(house: WildHouse, door: httpx.Client, till: Till) -> None:
    ctl(house, "plugin", "quarantine", "stream", "stream", "--reason", "a look at the lake")
    eventually(lambda: house.row("stream")["state"] == "quarantined")
    works(house, door, till)
    ctl(house, "plugin", "resume", "stream", "stream")
    lake_has_all(house, till)


BUS = """
[lake]
interval_seconds = 0.2
[source.steady]
folder = "."
[bus]
plugin = "wild-bus"
folder = "."
[bus.limits]
memory_mib = 384
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("leaks", "it used .* MiB of memory, 384 MiB are allowed"),
        ("segfaults", "killed by SIGSEGV"),
    ],
)
def test_a_bus_that_misbehaves_at_the_door_costs_the_door_alone(
    tmp_path: Path, how: str, reason: str
) -> None:
    """It is never held: nothing goes on without it. What was acknowledged is not lost."""
    with wild_house(tmp_path, BUS) as house:

        def confirmed() -> int:
            return len((house.folder / "steady.gaps").read_text().splitlines())

        def stored() -> list[str]:
            table: Any = (
                Lake(house.data.lake).dataset("silver.stock").to_table(columns=["event_id"])
            )
            return list(table["event_id"].to_pylist())

        eventually(lambda: confirmed() > 20)
        before = house.pids()
        behave(house, how, "bus")
        eventually(lambda: re.search(reason, house.row("ingest")["last_error"] or ""), 60)
        eventually(lambda: house.row("ingest")["restarts"] >= before["ingest"][1] + 2, 60)
        behave(house, None, "bus")
        now = confirmed()
        eventually(lambda: confirmed() > now + 20, 60)
        until = confirmed()
        eventually(lambda: len(stored()) > until, 60)
        ids = sorted(stored(), key=lambda one: int(one.partition("-")[2]))
        assert ids == [f"steady-{number}" for number in range(1, len(ids) + 1)]
        after = house.pids()
        assert {n: after[n] for n in ("stream", "serve")} == {
            n: before[n] for n in ("stream", "serve")
        }
        time.sleep(0.1)
        assert house.row("ingest")["state"] == "running"
