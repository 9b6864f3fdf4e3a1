"""Replacing a worker: when a new one counts as working, and why it does not."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.backoff import Backoff
from retaild.runtime.plans import WorkerPlan
from retaild.runtime.state import State
from retaild.runtime.supervisor import Failure, Supervisor

#: A worker with an hour's wrong clock: it beats until it is told to stop.
BEATING = """
import sys, time
from pathlib import Path
real = time.time
time.time = lambda: real() + int(sys.argv[2])
from retaild.runtime.state import State
state = State(Path(sys.argv[1]))
while True:
    state.beat("stream", {"clock": sys.argv[2]})
    time.sleep(0.05)
"""
SILENT = "import time; time.sleep(60)"
#: As `retaild.runtime.worker` ends with wrong settings.
MISCONFIGURED = """
import sys
from pathlib import Path
from retaild.runtime.state import State
State(Path(sys.argv[1])).save_worker("stream", last_error="There is no such thing.")
print("the last words")
sys.exit(78)
"""
CRASHING = "raise SystemExit(3)"
#: What it depends on is away (sysexits.h: EX_TEMPFAIL).
WAITING = "raise SystemExit(75)"

Scenario = Callable[[Supervisor], Awaitable[Any]]


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "data")
    data.create()
    return data


@pytest.fixture
def state(data: DataDir) -> Iterator[State]:
    state = State(data.state_db)
    yield state
    state.close()


def plan(data: DataDir, script: str, *words: str) -> WorkerPlan:
    command = (sys.executable, "-c", script, str(data.state_db), *words)
    return WorkerPlan("stream", "stream", command, fingerprint=script + " ".join(words))


def live(data: DataDir, state: State, first: WorkerPlan, scenario: Scenario) -> Any:
    async def run() -> Any:
        supervisor = Supervisor(
            data, state, [first], backoff=lambda: Backoff(first=0.02, cap=0.1)
        )  # fmt: skip
        supervisor.start()
        try:
            return await scenario(supervisor)
        finally:
            await supervisor.stop()

    return asyncio.run(run())


def row(state: State) -> dict[str, Any]:
    return next(iter(state.workers()), {})


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("seconds", ["0", "-3600", "3600"])
def test_a_worker_runs_when_it_beats_whatever_the_clock_says(
    data: DataDir, state: State, seconds: str
) -> None:
    """Its beat is an hour older than its start after the clock was set back: it lives all the same,
    and so does the one after it, whose beats are older than those of the one before."""

    async def scenario(supervisor: Supervisor) -> None:
        await until(lambda: row(state).get("state") == "running")
        supervisor.restart("stream")
        pid = row(state)["pid"]
        await until(lambda: row(state)["state"] == "running" and row(state)["pid"] != pid)

    state.beat("stream", {})  # what a daemon before this one has left
    live(data, state, plan(data, BEATING, seconds), scenario)


def test_an_old_beat_makes_nobody_running(data: DataDir, state: State) -> None:
    async def scenario(_: Supervisor) -> None:
        await until(lambda: row(state).get("pid"))
        await asyncio.sleep(1.5)  # three looks
        assert row(state)["state"] == "starting"

    state.save_worker("stream", kind="stream", state="running", beat=time.time() + 3600)
    live(data, state, plan(data, SILENT), scenario)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (MISCONFIGURED, "There is no such thing"),
        (CRASHING, "it ended 3 times: exit code 3"),
    ],
)
def test_what_cannot_come_to_work_is_not_waited_for(
    data: DataDir, state: State, script: str, reason: str
) -> None:
    """At once and with the real reason; the old one runs again."""

    async def scenario(supervisor: Supervisor) -> Failure | None:
        await until(lambda: row(state).get("state") == "running")
        began = time.monotonic()
        failure = await supervisor.replace(plan(data, script), ready_seconds=60)
        assert time.monotonic() - began < 20
        await until(lambda: row(state).get("state") == "running")
        assert supervisor.plans()["stream"].fingerprint == BEATING + "0"
        return failure

    failure = live(data, state, plan(data, BEATING, "0"), scenario)
    assert failure is not None
    assert failure.reason.startswith(reason)
    if script is MISCONFIGURED:
        assert failure.lines[-1] == "the last words"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (SILENT, "it was not ready within 1.5 s"),
        (WAITING, "it was not ready within 1.5 s; it ended: exit code 75"),
    ],
)
def test_what_may_still_come_to_work_is_waited_for(
    data: DataDir, state: State, script: str, reason: str
) -> None:
    async def scenario(supervisor: Supervisor) -> Failure | None:
        began = time.monotonic()
        failure = await supervisor.replace(plan(data, script), ready_seconds=1.5)
        assert time.monotonic() - began >= 1.5
        return failure

    failure = live(data, state, plan(data, BEATING, "0"), scenario)
    assert failure is not None
    assert failure.reason == reason


def test_a_new_one_that_shall_stay_stays(data: DataDir, state: State) -> None:
    """`startup = "ignore"`: broken or not, it is what the configuration in force asks for."""

    async def scenario(supervisor: Supervisor) -> None:
        assert await supervisor.replace(plan(data, CRASHING), ready_seconds=20, keep=True)
        assert supervisor.plans()["stream"].fingerprint == CRASHING

    live(data, state, plan(data, BEATING, "0"), scenario)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (MISCONFIGURED, "There is no such thing."),
        (SILENT, "it was not ready within 0.5 s"),
    ],
)
def test_a_server_that_is_not_ready_leaves_the_old_one_alone(
    data: DataDir, state: State, script: str, reason: str
) -> None:
    async def scenario(supervisor: Supervisor) -> Failure | None:
        await until(lambda: row(state).get("state") == "running")
        pid = row(state)["pid"]
        seconds = 0.5 if script is SILENT else 60.0
        began = time.monotonic()
        failure = await supervisor.swap(plan(data, script), ready_seconds=seconds)
        assert time.monotonic() - began < 20
        assert row(state)["pid"] == pid
        return failure

    failure = live(data, state, plan(data, BEATING, "0"), scenario)
    assert failure is not None
    assert failure.reason == reason
