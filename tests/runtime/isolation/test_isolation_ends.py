"""How components end, what the daemon makes of it, and what their neighbour notices: nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

#: Longest pause of the neighbour's loop, which turns every 20 ms, in seconds.
BOUND = 1.5


@pytest.mark.parametrize(
    ("function", "reason", "limits"),
    [
        ("raises", "RuntimeError: the till speaks Klingon", {}),
        ("raises_in_open", "RuntimeError: no such till", {}),
        ("segfaults", "killed by SIGSEGV", {}),
        ("exits_without_a_word", "exit", {}),
        ("raises_system_exit", "enough", {}),
        ("leaks_fast", "memory", {"memory_mib": 64}),
        ("leaks_slowly", "memory", {"memory_mib": 64}),
        ("leaks_in_a_child", "MiB of memory, 128 MiB are allowed", {"memory_mib": 128}),
        ("leaks_shared_memory", "MiB of memory, 64 MiB are allowed", {"memory_mib": 64}),
        ("forks_for_ever", "processes, 8 are allowed", {"processes": 8}),
        ("hangs_in_open", "it was not open after 1 s", {"open_seconds": 1}),
        ("hangs_in_a_call", "it hung: a call took longer than 1 s", {"hung_seconds": 1}),
    ],
)
def test_it_is_started_again_then_held(
    play: Any, function: str, reason: str, limits: dict[str, Any]
) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("good", "steady"), house.plan("bad", function, failures=2, **limits))
        row = await house.state_of("bad", "quarantined")
        held = house.store.held("alert", "bad")
        assert held.reason.startswith("2 failures within 600 s, the last: ")
        assert reason in held.reason
        assert len(house.store.failures("alert", "bad")) == 2
        assert row["restarts"] == 2
        assert house.open_alerts() == {"instance.alert.bad.quarantined": "error"}
        good = await house.state_of("good", "running")
        assert (good["restarts"], good["figures"]["longest"] < BOUND) == (0, True)
        await house.until(lambda: len(house.left()) == 2, 3)  # the fork server, the neighbour

    play(scenario)


def test_nothing_it_started_outlives_it(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "forks_and_hides"))
        await house.state_of("a", "running")
        await house.until(lambda: len(house.left()) == 5)  # the server, itself, three of theirs
        house.supervisor.restart("alert.a")
        await house.until(lambda: house.row("a")["restarts"] == 1)
        await house.until(lambda: len(house.left()) == 5)
        await house.supervisor.remove("alert.a")
        await house.until(lambda: len(house.left()) == 1)

    play(scenario)


def test_wrong_settings_are_not_tried_twice(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "wrong_settings"))
        row = await house.state_of("a", "quarantined")
        held = house.store.held("alert", "a")
        assert (row["restarts"], held.cause) == (1, "config")
        assert held.reason == "The till needs a name. Give it one."

    play(scenario)


def test_what_is_away_is_waited_for_and_nobody_s_fault(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "unreachable", failures=2))
        await house.until(lambda: (house.row("a").get("restarts") or 0) >= 4)
        assert house.store.failures("alert", "a") == []
        assert house.row("a")["last_error"] == "The till does not answer."

    play(scenario)


def test_startup_error_is_the_daemon_s_to_know(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "raises_in_open", startup="error"))
        await house.until(lambda: house.fatal)
        assert house.fatal[0].startswith("alert.a cannot be opened: ")
        assert "no such till" in house.fatal[0]

    play(scenario)


def test_startup_ignore_leaves_it_out_until_it_is_asked_for(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "works_after_a_file", startup="ignore"))
        row = await house.state_of("a", "left out")
        assert "broken" in row["last_error"]
        (house.data.root / "mended").touch()
        await asyncio.sleep(0.5)
        assert house.row("a")["state"] == "left out"
        house.supervisor.try_left_out()
        await house.state_of("a", "running")
        assert house.fatal == []

    play(scenario)


def test_startup_retry_goes_on_when_it_is_mended(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "works_after_a_file", failures=50))
        await house.until(lambda: (house.row("a").get("restarts") or 0) >= 2)
        (house.data.root / "mended").touch()
        await house.state_of("a", "running")

    play(scenario)


def test_one_that_imports_half_of_the_world_is_alone_with_it(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("good", "steady"), house.plan("big", "imports_the_world"))
        big = await house.until(lambda: house.row("big").get("beat") and house.row("big"))
        good = await house.state_of("good", "running")
        assert good["figures"]["longest"] < BOUND
        assert "/scipy/" not in Path(f"/proc/{good['pid']}/maps").read_text()
        assert "/scipy/" in Path(f"/proc/{big['pid']}/maps").read_text()

    play(scenario)


def test_rubbish_in_its_log_is_bounded_and_harmless(play: Any) -> None:
    async def scenario(house: Any) -> None:
        rate = 65_536
        house.begin(
            house.plan("good", "steady"), house.plan("a", "floods", log_bytes_per_second=rate)
        )
        await house.state_of("a", "running")
        before = len(house.log("a"))
        await asyncio.sleep(3)
        text = house.log("a")
        # An unsafe sign becomes four: a byte of input is at most four of the file.
        assert 0 < len(text) - before <= 4 * rate * 4
        assert max(map(len, text.splitlines())) <= 4 * 4096 + 20
        assert not set("\x1b\x07\r") & set(text)
        good = await house.state_of("good", "running")
        assert good["figures"]["longest"] < BOUND

    play(scenario)


@pytest.mark.slow
def test_one_that_only_burns_the_processor_runs_when_nobody_else_wants_to(play: Any) -> None:
    """Also on a machine that is busy: what it waited for counts as well as what it had."""

    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "spins"))
        row = await house.state_of("a", "running")
        await house.until(lambda: os.sched_getscheduler(row["pid"]) == os.SCHED_IDLE, 40)
        assert house.row("a")["restarts"] in (None, 0)

    play(scenario)
