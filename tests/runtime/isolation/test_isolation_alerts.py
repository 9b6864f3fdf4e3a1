"""Alerts through a real daemon, a real sink's process and a real receiver, from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.testing.alert import HttpDesk, Response
from tests.plugins.alerts.receivers import PagerDuty, served

from .wild_house import WildHouse, alive, eventually, wild_house

CONFIG = """
[alerts]
group_wait_seconds = 0
[alert.duty]
plugin = "pagerduty"
url = "{url}/v2/enqueue"
routing_key = {{file = "duty.key"}}
[alert.stuck]
plugin = "hanging"
folder = "."
[alert.stuck.limits]
hung_seconds = 2
failures = 50
"""


@pytest.fixture(scope="module")
def pagerduty() -> PagerDuty:
    return PagerDuty()


@pytest.fixture(scope="module")
def desk(pagerduty: PagerDuty) -> Iterator[HttpDesk]:
    desk = served(pagerduty, Response(400, b"{}"))
    yield desk
    desk.stop()


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, desk: HttpDesk, pagerduty: PagerDuty
) -> Iterator[WildHouse]:
    folder = tmp_path_factory.mktemp("alerts")
    key = folder / "duty.key"
    key.write_text(pagerduty.routing_key)
    key.chmod(0o600)
    with wild_house(folder, CONFIG.format(url=desk.url)) as house:
        yield house


def asking(house: WildHouse, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "retaild.cli", *words, "--json", "-c", str(house.config)]
    return subprocess.Popen(command, env=house.environment, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str], seconds: float = 60) -> Any:
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, output
    return json.loads(output)


def test_a_test_alert_reaches_the_receiver_and_is_resolved_there(
    house: WildHouse, desk: HttpDesk, pagerduty: PagerDuty
) -> None:
    (outcome,) = told(asking(house, "alert", "test", "duty"))["sinks"]
    assert (outcome["sink"], outcome["state"]) == ("duty", "delivered")
    first = json.loads(desk.requests[0].body)
    assert first["event_action"] == "trigger"
    assert first["payload"]["summary"] == "This is a test of the alert sink duty."
    eventually(lambda: pagerduty.incidents == {first["dedup_key"]: "resolved"})
    assert house.row("alert.duty")["figures"]["delivered"] >= 1
    assert house.row("alert.duty")["pid"] not in (house.daemon(), house.row("serve")["pid"])


def tried(house: WildHouse) -> list[tuple[str, int]]:
    """(message, process) of each attempt."""
    path: Path = house.folder / "stuck.tried"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def test_a_sink_that_hangs_is_killed_and_its_alert_delivered_after_the_restart(
    house: WildHouse, pagerduty: PagerDuty
) -> None:
    neighbour = house.pids()["alert.duty"]
    waiting = asking(house, "alert", "test", "stuck")
    eventually(lambda: tried(house))
    message, process = tried(house)[0]
    # While it hangs, the other sink delivers.
    (outcome,) = told(asking(house, "alert", "test", "duty"))["sinks"]
    assert outcome["state"] == "delivered"

    eventually(lambda: not alive(process), 15)
    eventually(lambda: "it hung" in (house.row("alert.stuck")["last_error"] or ""))
    house.tell("stuck", "mended")
    (outcome,) = told(waiting)["sinks"]
    assert (outcome["sink"], outcome["state"]) == ("stuck", "delivered")

    assert len({pid for _, pid in tried(house)}) >= 2
    sent = eventually(lambda: (house.folder / "stuck.sent").read_text().splitlines())
    assert sent[0].split()[0] == message
    assert len({line.split()[0] for line in sent}) == len(sent)
    assert house.pids()["alert.duty"] == neighbour
