"""A supervisor in the test's own event loop, with components in real forked processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.config.sections import LimitsSection, PluginInstance
from retaild.host.environments import Launch
from retaild.runtime.backoff import Backoff
from retaild.runtime.instances import InstanceStore
from retaild.runtime.plans import WorkerPlan, plan_instance
from retaild.runtime.process import MARK_VARIABLE
from retaild.runtime.state import State
from retaild.runtime.supervisor import Supervisor

HERE = Path(__file__).parent


def marked(root: Path) -> list[int]:
    """Processes that carry the mark of this data directory: all that was started below it."""
    mark = f"{MARK_VARIABLE}={root.resolve()}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:
            continue
    return found


@dataclass
class House:
    """Plans are made from names of functions in misbehaving.py."""

    data: DataDir
    config: Path
    state: State
    fatal: list[str] = field(default_factory=list)
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        self.store = InstanceStore(self.state)

    def plan(self, name: str, function: str, startup: str = "retry", **limits: Any) -> WorkerPlan:
        """A sink, for sinks need no hub."""
        allowed = LimitsSection(**{"memory_mib": 256, **limits})
        instance = PluginInstance(plugin="x", limits=allowed, startup=startup)  # type: ignore[arg-type]
        return plan_instance(
            "alert", name, instance, self.data, self.config,
            entry=f"misbehaving:{function}", launch=Launch(path=(str(HERE),)),
        )  # fmt: skip

    def begin(self, *plans: WorkerPlan) -> None:
        self.supervisor = Supervisor(
            self.data, self.state, plans, fatal=self.fatal.append,
            backoff=lambda: Backoff(first=0.02, cap=0.2),
        )  # fmt: skip
        self.supervisor.start()

    def row(self, name: str) -> dict[str, Any]:
        rows = self.state.workers()
        return next((row for row in rows if row["name"] == f"alert.{name}"), {})

    async def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {self.state.workers()}")

    async def state_of(self, name: str, state: str, seconds: float = 20.0) -> dict[str, Any]:
        def found() -> Any:
            row = self.row(name)
            return row if row.get("state") == state else None

        return await self.until(found, seconds)  # type: ignore[no-any-return]

    def log(self, name: str) -> str:
        path = self.data.worker_log(f"alert.{name}")
        return path.read_text() if path.exists() else ""

    def open_alerts(self) -> dict[str, str]:
        sql = "SELECT key, severity FROM alert WHERE resolved IS NULL"
        return {row["key"]: row["severity"] for row in self.state.rows(sql)}

    def left(self) -> list[int]:
        return marked(self.data.root)


Scenario = Callable[[House], Awaitable[None]]


@pytest.fixture
def house(tmp_path: Path) -> House:
    data = DataDir(tmp_path / "data")
    data.create()
    config = tmp_path / "retaild.toml"
    config.write_text("")
    return House(data, config, State(data.state_db))


@pytest.fixture
def play(house: House) -> Callable[[Scenario], None]:
    """Run a scenario; afterwards everything is stopped, and nothing may be left."""

    async def whole(scenario: Scenario) -> None:
        try:
            await scenario(house)
        finally:
            await house.supervisor.stop()
        # What is killed ends a moment later.
        await house.until(lambda: house.left() == [], 3)

    def run(scenario: Scenario) -> None:
        try:
            asyncio.run(whole(scenario))
        finally:
            for pid in house.left():
                os.kill(pid, signal.SIGKILL)

    return run
