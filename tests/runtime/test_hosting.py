"""Workers that host a plugin by their nature: what they may take, and what is its fault."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.config.sections import LimitsSection
from retaild.config.settings import Settings
from retaild.runtime import machine
from retaild.runtime.backoff import Backoff
from retaild.runtime.component.exits import EXIT_CONFIG, EXIT_TEMPORARY, EXIT_TOLD
from retaild.runtime.instances import InstanceStore
from retaild.runtime.isolation.guard import HostGuard
from retaild.runtime.plans import Hosting, WorkerPlan, hosting_of
from retaild.runtime.state import State
from retaild.runtime.supervisor import Supervisor


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    data = DataDir(tmp_path)
    data.create()
    state = State(data.state_db)
    yield state
    state.close()


def limits(worker: str, **settings: Any) -> LimitsSection:
    hosting = hosting_of(worker, Settings.model_validate(settings))
    assert hosting is not None
    return hosting.limits


@pytest.mark.parametrize(("has", "may"), [(512, 2048), (2048, 2048), (4096, 3072), (24576, 18432)])
def test_lake_and_server_may_take_three_quarters_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, has: int, may: int
) -> None:
    monkeypatch.setattr(machine, "memory_mib", lambda: float(has))
    assert (limits("stream").memory_mib, limits("serve").memory_mib) == (may, may)
    assert limits("ingest").memory_mib == 2048


def test_what_is_stated_counts() -> None:
    own = {"memory_mib": 700, "failures": 2, "processes": 9}
    found = limits("stream", stream={"limits": own})
    assert (found.memory_mib, found.failures, found.processes) == (700, 2, 9)
    assert limits("ingest", bus={"limits": {"memory_mib": 300}}).memory_mib == 300
    assert hosting_of("stream", Settings()) is not None
    assert hosting_of("other", Settings()) is None
    stated = Settings.model_validate({"stream": {"limits": {"hung_seconds": 9}}})
    usual, own_hung = hosting_of("stream", Settings()), hosting_of("stream", stated)
    assert usual is not None
    assert own_hung is not None
    assert (usual.hung_seconds, own_hung.hung_seconds) == (None, 9)


@pytest.mark.parametrize(
    ("code", "breach", "counts"),
    [
        (1, False, True),  # an exception that nobody foresaw
        (0, False, True),  # it ended although nobody asked it to
        (-signal.SIGSEGV, False, True),
        (-signal.SIGABRT, False, True),
        (-signal.SIGKILL, True, True),  # we ended it: it hung, or took too much
        (-signal.SIGKILL, False, False),  # a person, or the kernel for want of memory
        (EXIT_TEMPORARY, False, False),  # the engine is away
        (EXIT_CONFIG, False, False),  # a password, Java
        (EXIT_TOLD, False, False),  # a lake older than its log
    ],
)
def test_what_is_the_fault_of_the_processor(
    state: State, code: int, breach: bool, counts: bool
) -> None:
    hosting = Hosting("stream", LimitsSection(failures=2), quarantines=True)
    guard = HostGuard(
        WorkerPlan("stream", "stream", hosting=hosting), hosting, InstanceStore(state)
    )
    first = guard.after(code, "so", [], breach=breach)
    second = guard.after(code, "so", ["its last words"], breach=breach)
    assert (first, second) == ("retry", "quarantined" if counts else "retry")
    assert guard.is_held is counts
    held = guard.held()
    assert held.lines == (("its last words",) if counts else ())
    keys = [row["key"] for row in state.rows("SELECT key FROM alert WHERE resolved IS NULL")]
    assert keys == (["instance.stream.quarantined"] if counts else [])


LEAKING = "kept = []\nwhile True:\n    kept.append(b'x' * (8 << 20))\n    time.sleep(0.02)\n"
FORKING = (
    "for _ in range(9):\n"
    "    if not os.fork():\n"
    "        os.setsid()\n"
    "        time.sleep(60)\n"
    "time.sleep(60)\n"
)


def run(root: Path, state: State, name: str, program: str, hosting: Hosting,
        until: Callable[[dict[str, Any]], Any]) -> None:  # fmt: skip
    command = (sys.executable, "-c", f"import os, time\n{program}", str(DataDir(root).state_db))
    plan = WorkerPlan(name, name, command, hosting=hosting)

    async def live() -> None:
        kept = Supervisor(
            DataDir(root), state, [plan], backoff=lambda: Backoff(first=0.02, cap=0.2)
        )
        kept.start()
        try:
            async with asyncio.timeout(60):
                while not any(until(row) for row in state.workers()):
                    await asyncio.sleep(0.05)
        finally:
            await kept.stop()

    asyncio.run(live())


def test_one_that_leaks_is_started_again_and_never_held(tmp_path: Path, state: State) -> None:
    hosting = Hosting("bus", LimitsSection(memory_mib=64, failures=1))
    run(tmp_path, state, "ingest", LEAKING, hosting, lambda row: row["restarts"] == 2)
    (row,) = state.workers()
    assert "MiB of memory, 64 MiB are allowed" in row["last_error"]


def test_one_that_leaks_too_often_is_held(tmp_path: Path, state: State) -> None:
    hosting = Hosting("stream", LimitsSection(memory_mib=64, failures=2), quarantines=True)
    run(tmp_path, state, "stream", LEAKING, hosting, lambda row: row["state"] == "quarantined")
    (row,) = state.workers()
    assert row["restarts"] == 2
    assert "MiB of memory, 64 MiB are allowed" in row["last_error"]


def test_what_it_started_in_sessions_of_its_own_ends_with_it(tmp_path: Path, state: State) -> None:
    from tests.runtime.isolation.conftest import marked

    hosting = Hosting("stream", LimitsSection(processes=4, failures=1), quarantines=True)
    run(tmp_path, state, "stream", FORKING, hosting, lambda row: row["state"] == "quarantined")
    (row,) = state.workers()
    assert "it had 10 processes, 4 are allowed" in row["last_error"]
    assert marked(tmp_path) == []


#: A sign of life, open after some seconds, silent from then on.
OPENING = """
import sys
from pathlib import Path
from retaild.runtime.state import State
state = State(Path(sys.argv[1]))
state.beat("stream", {{}})
time.sleep({seconds})
state.beat("stream", {{"offset": 0}})
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [(1.5, "no sign of life for 0.7 s"), (30, "it was not open after 4 s")],
)
def test_it_may_take_longer_to_open_than_for_a_step(
    tmp_path: Path, state: State, seconds: float, reason: str
) -> None:
    limits = LimitsSection.model_construct(open_seconds=4.0, memory_mib=512, processes=9)
    hosting = Hosting("stream", limits, hung_seconds=0.7, opened="offset")
    state.beat("stream", {"offset": 7})  # of a process before
    program = OPENING.format(seconds=seconds)
    run(tmp_path, state, "stream", program, hosting, lambda row: row["restarts"] == 1)
    (row,) = state.workers()
    assert row["last_error"] == reason
