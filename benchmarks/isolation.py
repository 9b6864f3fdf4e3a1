"""What a process of its own costs an instance: memory, start, and the time that a crash takes.

    python -m benchmarks.isolation [--instances 12]

The real supervisor with real e-mail sinks, forked from the preloaded server as the daemon does it,
and beside it, in the same run, spawned as Python processes of their own. `pss_mib` is the
proportional set size of an idle instance (pages that are shared count in parts); `marginal_mib`
what all instances and the server take more than the server alone, by instance. `start_seconds` is
from the order until it says that it is open; `back_seconds` from SIGKILL until it is open again,
with the first pause of 0.05 s in it. Medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.footprint import memory_mib
from retaild.config.paths import DataDir
from retaild.config.settings import load_settings
from retaild.runtime.plans import WorkerPlan, plan_instance
from retaild.runtime.state import State
from retaild.runtime.supervisor import Supervisor

SINK = """
[alert.mail{number}]
plugin = "email"
host = "127.0.0.1"
sender = "a@shop.example"
recipients = ["b@shop.example"]
"""
#: What happens once at the start is over by then.
SETTLE_SECONDS = 4.0


@dataclass
class House:
    supervisor: Supervisor
    state: State

    def row(self, name: str) -> dict[str, Any]:
        return next((row for row in self.state.workers() if row["name"] == name), {})

    async def until(self, condition: Callable[[], Any]) -> None:
        until = time.monotonic() + 60
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(str(self.state.workers()))
            await asyncio.sleep(0.002)

    def runs(self, name: str, before: int = 0) -> bool:
        row = self.row(name)
        return row.get("state") == "running" and row["pid"] != before


def plans(folder: Path, count: int, spawned: bool) -> tuple[DataDir, State, list[WorkerPlan]]:
    config, data = folder / "retaild.toml", DataDir(folder / "data")
    config.write_text("".join(SINK.format(number=number) for number in range(count)))
    data.create()
    found = []
    for name, instance in load_settings(config).alert.items():
        plan = plan_instance("alert", name, instance, data, config)
        assert plan.isolated is not None
        if spawned:
            order = replace(plan.isolated.order, python=sys.executable)
            plan = replace(plan, isolated=replace(plan.isolated, order=order))
        found.append(plan)
    return data, State(data.state_db), found


async def measured(folder: Path, count: int, *, spawned: bool) -> dict[str, float]:
    data, state, wanted = plans(folder, count, spawned)
    house = House(Supervisor(data, state, wanted[:1]), state)
    began = time.perf_counter()
    house.supervisor.start()
    try:
        await house.until(lambda: house.runs(wanted[0].name))
        first = time.perf_counter() - began
        await house.supervisor.remove(wanted[0].name)
        server = house.supervisor._server.pid
        assert server is not None
        alone = memory_mib(server)[1]
        starts = [await _started(house, plan) for plan in wanted]
        await asyncio.sleep(SETTLE_SECONDS)
        sizes = [memory_mib(house.row(plan.name)["pid"])[1] for plan in wanted]
        whole = memory_mib(server)[1] + sum(sizes)
        back = [await _back(house, plan.name) for plan in wanted]
    finally:
        await house.supervisor.stop()
    return {
        "first_seconds": round(first, 3),
        "start_seconds": round(statistics.median(starts), 4),
        "back_seconds": round(statistics.median(back), 4),
        "slowest_back_seconds": round(max(back), 4),
        "pss_mib": round(statistics.median(sizes), 1),
        "marginal_mib": round((whole - alone) / count, 1),
        "server_alone_mib": round(alone, 1),
    }


async def _started(house: House, plan: WorkerPlan) -> float:
    began = time.perf_counter()
    await house.supervisor.add(plan)
    await house.until(lambda: house.runs(plan.name))
    return time.perf_counter() - began


async def _back(house: House, name: str) -> float:
    before = house.row(name)["pid"]
    began = time.perf_counter()
    os.kill(before, signal.SIGKILL)
    await house.until(lambda: house.runs(name, before))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=12)
    count = parser.parse_args().instances
    figures: dict[str, Any] = {"instances": count, "load_average": os.getloadavg()[0]}
    for name, spawned in (("forked", False), ("spawned", True)):
        with tempfile.TemporaryDirectory(prefix="retaild-isolation-") as folder:
            figures[name] = asyncio.run(measured(Path(folder), count, spawned=spawned))
    for name in ("pss_mib", "start_seconds"):
        figures[f"{name}_ratio"] = round(figures["forked"][name] / figures["spawned"][name], 3)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
