"""A stranger's trainer and target that hang, leak or raise in a job of a real daemon.

The run ends by itself with a clear sentence, an alert reaches a sink, and the daemon, its workers
and a source beside it go on.
"""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from retaild.api.lake import Lake
from tests.runtime.isolation.wild_house import NEIGHBOURS, WildHouse, alive, eventually, wild_house
from tests.runtime.serving.shops import Till

pytestmark = pytest.mark.slow

#: Enough for everything but what hangs.
TIMEOUT = 20
MEMORY_MIB = 3072
CONFIG = f"""
{NEIGHBOURS}
[trainer.recommender]
plugin = "wild-trainer"
folder = "."
[target.shelf]
plugin = "wild-target"
folder = "."
[job.learn]
kind = "train"
timeout_seconds = {TIMEOUT}
[job.learn.arguments]
trainer = "recommender"
memory_mib = "{MEMORY_MIB}"
[job.publish]
timeout_seconds = {TIMEOUT}
[job.publish.arguments]
memory_mib = "{MEMORY_MIB}"
"""
LONG = rf"^It took longer than {TIMEOUT} s and was ended\.$"
NO_MEMORY = r"^It needed more memory than it may take\. Raise the job's argument memory_mib\.$"
#: How -> what the run's error says.
CASES = {
    "hangs": LONG,
    "hangs_in_c": LONG,
    "hoards": NO_MEMORY,
    "raises": r"^RuntimeError: the engine speaks Klingon\. The log has the details\.$",
}
#: Job -> the instance that works in it.
WORK = [("learn", "recommender"), ("publish", "shelf")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WildHouse]:
    """A shop with some sales and a champion, so that there is something to publish."""
    with wild_house(tmp_path_factory.mktemp("jobs"), CONFIG) as house:
        till = Till()
        port = tomllib.loads(house.config.read_text())["api"]["port"]
        events = [till.sale(f"c{n % 5}", f"P{n % 7}") for n in range(50)]
        posted = httpx.post(
            f"http://127.0.0.1:{port}/api/v1/events", json={"events": events}, timeout=30
        )
        assert posted.status_code == 202, posted.text
        eventually(lambda: Lake(house.data.lake).exists("silver.sale"))
        for job, told_so in (("train", {"trainer": "recommender"}), ("materialize", {})):
            run = ended(house, start(house, job, **told_so))
            assert run["state"] == "succeeded", run
        version = house.state.runs(job="train")[0]["result"]["recommender"]["version"]
        arguments = {"trainer": "recommender", "version": str(version)}
        run = ended(house, start(house, "promote", **arguments))
        assert run["state"] == "succeeded", run
        yield house


def start(house: WildHouse, job: str, **arguments: str) -> int:
    return int(house.ask("run-job", job=job, arguments=arguments)["run_id"])


def ended(house: WildHouse, run_id: int, seconds: float = 120) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        run = house.state.run(run_id)
        # What the process itself writes when it is told to stop; the daemon says why it was.
        passing = run and run["error"] == "It was told to stop."
        return run if run and run["state"] not in ("queued", "running") and not passing else None

    return eventually(over, seconds)  # type: ignore[no-any-return]


def behave(house: WildHouse, name: str, how: str | None) -> None:
    path: Path = house.folder / f"{name}.how"
    if how is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(how)


def began(house: WildHouse, name: str) -> list[int]:
    """Process of each run that got to the plugin."""
    path = house.folder / f"{name}.began"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def told(house: WildHouse, key: str, action: str) -> list[str]:
    path = house.folder / "duty.told"
    notes = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [n["summary"] for n in notes if key in n["keys"] and n["action"] == action]


@pytest.mark.parametrize("how", CASES)
@pytest.mark.parametrize(("job", "plugin"), WORK)
def test_the_run_fails_with_a_sentence_and_nothing_else_is_touched(
    house: WildHouse, job: str, plugin: str, how: str
) -> None:
    before, daemon = house.pids(), house.daemon()
    calls, since, steady = len(began(house, plugin)), time.monotonic(), len(house.events("steady"))
    behave(house, plugin, how)
    run = ended(house, start(house, job))
    took = time.monotonic() - since
    assert run["state"] == "failed"
    assert re.search(CASES[how], run["error"]), run["error"]
    processes = began(house, plugin)[calls:]
    assert len(processes) == 1
    eventually(lambda: not alive(processes[0]), 10)
    if how.startswith("hangs"):
        assert took < TIMEOUT + 20
    assert house.daemon() == daemon
    assert house.pids() == before
    assert len(house.events("steady")) > steady
    eventually(lambda: house.alerts().get(f"job.{job}.failed") == "error", 40)
    key = f"job.{job}.failed"
    eventually(lambda: any(run["error"][:40] in text for text in told(house, key, "trigger")), 40)

    behave(house, plugin, None)
    assert ended(house, start(house, job))["state"] == "succeeded"
    # The next failure is another alert.
    eventually(lambda: key not in house.alerts(), 40)
