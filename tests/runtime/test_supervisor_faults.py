"""Faults of the supervision itself leave nobody unwatched and nothing without a keeper."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.runtime import supervisor as module
from retaild.runtime.plans import WorkerPlan
from retaild.runtime.state import State
from retaild.runtime.supervisor import Supervisor

#: One sign of life, and then none.
HANGING = """
import sys, time
from pathlib import Path
from retaild.runtime.state import State
State(Path(sys.argv[1])).beat("stream", {})
time.sleep(60)
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    data = DataDir(tmp_path)
    data.create()
    state = State(data.state_db)
    yield state
    state.close()


def live(tmp_path: Path, state: State, condition: Callable[[dict[str, Any]], Any]) -> None:
    """Keep a hanging worker until its row is as wanted."""
    data = DataDir(tmp_path)
    command = (sys.executable, "-c", HANGING, str(data.state_db))

    async def run() -> None:
        kept = Supervisor(data, state, [WorkerPlan("stream", "stream", command)], hung_seconds=1.0)
        kept.start()
        try:
            async with asyncio.timeout(30):
                while not any(condition(row) for row in state.workers()):
                    await asyncio.sleep(0.05)
        finally:
            await kept.stop()

    asyncio.run(run())


def test_a_look_that_fails_is_not_the_last(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, watch = list[int](), Supervisor._watch_one

    def failing(self: Supervisor, *arguments: Any) -> None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a fault of the supervision")
        watch(self, *arguments)

    monkeypatch.setattr(Supervisor, "_watch_one", failing)
    live(tmp_path, state, lambda row: "no sign of life" in (row["last_error"] or ""))


def test_a_keeper_that_fails_before_there_is_a_process_tries_again(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAULT_SECONDS", 0.05)
    tries, spawn = list[int](), Supervisor._spawn

    async def failing(self: Supervisor, worker: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("a fault of the supervision")
        return await spawn(self, worker)

    monkeypatch.setattr(Supervisor, "_spawn", failing)
    live(tmp_path, state, lambda row: row["state"] == "running" and row["pid"])


def test_a_keeper_that_fails_leaves_no_process_that_nobody_keeps(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAULT_SECONDS", 0.05)
    pids, write = list[int](), Supervisor._set

    def failing(self: Supervisor, worker: Any, *arguments: Any, **columns: Any) -> None:
        if worker.child is not None and not pids:
            pids.append(worker.child.pid)
            raise RuntimeError("a fault of the supervision")
        write(self, worker, *arguments, **columns)

    monkeypatch.setattr(Supervisor, "_set", failing)
    live(tmp_path, state, lambda row: row["state"] == "running" and row["pid"] != pids[0])
    assert not Path(f"/proc/{pids[0]}").exists()
