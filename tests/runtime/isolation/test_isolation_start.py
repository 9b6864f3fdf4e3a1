"""A component's process: where it lives, how it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from retaild.runtime import priority


def test_a_component_lives_in_a_process_of_its_own(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "shows_its_surroundings"), house.plan("b", "steady"))
        row = await house.state_of("a", "running")
        facts = json.loads((house.data.root / "surroundings.json").read_text())
        assert facts["pid"] == row["pid"] == facts["session"] != os.getpid()
        assert facts["first_path"] == str(Path(__file__).parent)
        assert (facts["stdin"], facts["nice"], facts["oom"]) == (
            "/dev/null",
            priority.COMPONENT,
            "500",
        )
        # Streams, "ready" and its own database; nothing of the daemon's or of its neighbour's.
        assert len(facts["descriptors"]) < 12
        await house.state_of("b", "running")
        assert house.row("b")["pid"] != row["pid"]
        assert len(house.left()) == 3  # the fork server, and both

    play(scenario)


def test_an_orderly_end(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "steady"))
        await house.state_of("a", "running")
        await house.supervisor.remove("alert.a")
        assert house.row("a") == {}
        assert "has stopped after" in house.log("a")

    play(scenario)


def test_one_that_ignores_the_end_is_killed(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "ignores_the_end"))
        await house.state_of("a", "running")

    play(scenario)  # looks that nothing is left


def test_another_python(play: Any) -> None:
    """Spawned instead of forked, for plugins with packages of their own."""
    from dataclasses import replace

    async def scenario(house: Any) -> None:
        plan = house.plan("a", "shows_its_surroundings")
        order = replace(plan.isolated.order, python=sys.executable)
        house.begin(replace(plan, isolated=replace(plan.isolated, order=order)))
        row = await house.state_of("a", "running")
        facts = json.loads((house.data.root / "surroundings.json").read_text())
        assert facts["pid"] == row["pid"]
        assert Path(f"/proc/{row['pid']}/cmdline").read_bytes().split(b"\0")[2] == (
            b"retaild.runtime.component.main"
        )

    play(scenario)


def test_the_fork_server_comes_back_and_its_components_with_it(play: Any) -> None:
    async def scenario(house: Any) -> None:
        house.begin(house.plan("a", "forks_and_hides"), house.plan("b", "steady", failures=1))
        before = await house.state_of("b", "running")
        await house.state_of("a", "running")
        server = house.supervisor._server.pid
        os.kill(server, signal.SIGKILL)
        await house.until(lambda: house.row("b")["pid"] not in (None, before["pid"]))
        row = await house.state_of("b", "running")
        assert row["last_error"] == "the fork server ended, and it with it"
        assert house.store.failures("alert", "b") == []  # no fault of its own
        assert house.supervisor._server.pid not in (None, server)
        await house.state_of("a", "running")

    play(scenario)
