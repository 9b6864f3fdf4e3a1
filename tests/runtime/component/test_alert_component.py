"""A sink in a process of its own, killed while it sends; its receiver is a real server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retaild.config.settings import load_settings
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.alerts.desk import AlertDesk
from retaild.runtime.alerts.engine import AlertEngine
from retaild.runtime.state import State
from retaild.testing.alert import HttpDesk, Response
from tests.plugins.alerts.receivers import PagerDuty, served

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pagerduty() -> PagerDuty:
    return PagerDuty()


@pytest.fixture
def desk(pagerduty: PagerDuty) -> Iterator[HttpDesk]:
    desk = served(pagerduty, Response(400, b"{}"))
    yield desk
    desk.stop()


class Shop:
    """A configured shop with one sink; `step` is the daemon's part."""

    def __init__(self, root: Path, desk: HttpDesk) -> None:
        (root / "key").write_text(PagerDuty().routing_key)
        self.config = root / "retaild.toml"
        self.config.write_text(
            f'[alert.pager]\nplugin = "pagerduty"\nrouting_key = {{file = "key"}}\n'
            f'url = "{desk.url}/v2/enqueue"\ntimeout_seconds = 2\n'
            "[alerts]\ngroup_wait_seconds = 0\nresolve_after_seconds = 0\n"
        )
        self.root = root / "data"
        self.settings = load_settings(self.config, self.root)
        self.state = State(self.root / "state.db")
        self.engine = AlertEngine(self.state, self.settings)

    def start(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("run_sink.py")
        words = [sys.executable, str(script), str(self.config), str(self.root), "pager"]
        return subprocess.Popen(words, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"})

    def wrong(self, job: str) -> None:
        raise_alert(self.state, f"job.{job}.failed", "error", f"{job} failed.", source="job")
        self.engine.step(time.time())

    def well(self, job: str) -> None:
        resolve_alert(self.state, f"job.{job}.failed")
        self.engine.step(time.time())


def _wait(until: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_a_kill_in_the_middle_of_a_request_loses_and_doubles_nothing(
    tmp_path: Path, desk: HttpDesk, pagerduty: PagerDuty
) -> None:
    shop = Shop(tmp_path, desk)
    child = shop.start()
    try:
        shop.wrong("first")
        _wait(lambda: len(pagerduty.received) == 1)
        desk.become("hanging")
        shop.wrong("second")
        _wait(lambda: len(desk.requests) == 2)
        child.kill()
        child.wait()
        # Away, and the daemon starts anew meanwhile.
        desk.become("gone")
        shop.engine = AlertEngine(shop.state, shop.settings)
        shop.well("first")
        shop.well("second")
        desk.become("well")
        child = shop.start()
        _wait(lambda: set(pagerduty.incidents.values()) == {"resolved"} and len(_done(shop)) == 4)
    finally:
        child.terminate()
        assert child.wait(20) == 0
    assert len(pagerduty.incidents) == 2
    for group in pagerduty.incidents:
        told = [item.action for item in pagerduty.received if item.group == group]
        assert told == ["trigger", "resolve"]


def _done(shop: Shop) -> list[str]:
    return [d["id"] for d in AlertDesk(shop.state).deliveries() if d["state"] == "delivered"]
