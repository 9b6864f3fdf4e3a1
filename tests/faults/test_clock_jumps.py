"""The machine's clock jumps a day, forward or back (time.time wrapped): nothing is lost by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import ClassVar

import apscheduler.schedulers.base
import apscheduler.triggers.interval
import pytest

from retaild.api.identity import Identity
from retaild.config.sections import JobSection
from retaild.runtime import clock_watch
from retaild.runtime.access.sessions import Sessions
from retaild.runtime.context import JobContext
from retaild.runtime.heartbeat import Heart
from retaild.runtime.jobs import compact, trim
from retaild.runtime.scheduler import Scheduler
from retaild.runtime.serving import base
from retaild.runtime.state import State
from tests.rest.serving import InThread
from tests.runtime.serving.shops import NOON, Till

from .conftest import Shop

DAY = 86_400.0
Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Moves the wall clock; the monotonic one goes on."""
    real = time.time

    def to(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return to


def job(shop: Shop) -> JobContext:
    c = shop.context
    return JobContext("job", c.settings, c.data, c.plugins, c.state, threading.Event())


@pytest.mark.parametrize("seconds", [2 * DAY, -2 * DAY])
def test_retention_never_takes_what_lake_or_server_still_need(
    shop: Shop, jump: Jump, seconds: float
) -> None:
    """A clock that is ahead makes everything look old: what was not carried stays all the same."""
    base.write_base(shop.data.online, 1, {"meta": {}}, {})
    shop.sell("c", "d")
    jump(seconds)
    trim.run(job(shop))
    shop.carry()
    assert shop.sold() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_events_and_lake_go_on_over_a_jump(shop: Shop, jump: Jump, seconds: float) -> None:
    jump(seconds)
    shop.sell("c")
    shop.carry()
    jump(0.0)
    shop.sell("d")
    shop.carry()
    assert shop.sold() == ["a", "b", "c", "d"]
    with closing(shop.context.bus()) as bus:
        bus.open()
        assert [entry.offset for entry in bus.read(0)] == [0, 1, 2, 3]


@pytest.mark.parametrize("seconds", [3 * DAY, -3 * DAY])
def test_compaction_over_a_jump_keeps_every_row(shop: Shop, jump: Jump, seconds: float) -> None:
    jump(seconds)
    assert "error" not in compact.run(job(shop))["tables"]["silver.sale"]
    shop.sell("c")
    shop.carry()
    assert shop.sold() == ["a", "b", "c"]


def test_heartbeats_go_on_when_the_clock_goes_back(shop: Shop, jump: Jump) -> None:
    """Every second by the monotonic clock, with a new value each time: no worker looks hung."""
    heart, stop, beats = Heart(), threading.Event(), list[float]()

    def write(figures: object) -> None:
        shop.context.state.beat("stream", {})
        (row,) = shop.context.state.workers()
        beats.append(row["beat"])
        heart.beat({})
        if len(beats) == 1:
            jump(-DAY)
        if len(beats) == 3:
            stop.set()

    heart.beat({})
    began = time.monotonic()
    heart.run(write, stop)
    assert time.monotonic() - began < 6
    assert beats[1] < beats[0] - DAY / 2 < beats[0]
    assert beats[1] != beats[2]


# -- schedules -------------------------------------------------------------------------------


class Shifted(datetime):
    """Stands where APScheduler asks what time it is; what is not `now` stays a plain datetime."""

    by: ClassVar[timedelta] = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.by

    @classmethod
    def fromtimestamp(  # type: ignore[override]
        cls, timestamp: float, tz: tzinfo | None = None
    ) -> datetime:
        return datetime.fromtimestamp(timestamp, tz)


class Schedule:
    """The daemon's schedule by a clock that the test sets."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, jump: Jump) -> None:
        self.due = threading.Event()
        self.scheduler = Scheduler(path, "UTC", lambda _: self.due.set())
        self._patch, self._jump = monkeypatch, jump
        monkeypatch.setattr(clock_watch, "LOOK_SECONDS", 0.02)

    def set_clock(self, seconds: float) -> None:
        Shifted.by = timedelta(seconds=seconds)
        for module in (apscheduler.schedulers.base, apscheduler.triggers.interval):
            self._patch.setattr(module, "datetime", Shifted)
        self._jump(seconds)

    def next_run(self) -> datetime:
        return self.scheduler.next_runs()["x"]


@pytest.fixture
def schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: Jump) -> Iterator[Schedule]:
    schedule = Schedule(tmp_path / "schedule.db", monkeypatch, jump)
    yield schedule
    schedule.scheduler.stop()


def test_a_job_that_a_jump_made_due_runs_at_once(schedule: Schedule) -> None:
    in_a_month = datetime.now(UTC) + timedelta(days=27)
    cron = f"0 0 {in_a_month.day} {in_a_month.month} *"
    schedule.scheduler.start({"x": JobSection(kind="x", cron=cron)})
    assert not schedule.due.wait(0.3)
    schedule.set_clock(28 * DAY)
    assert schedule.due.wait(10)
    # And is next due in a year, by the clock as it is now.
    assert schedule.next_run() > datetime.now(UTC) + timedelta(days=28 + 300)


@pytest.mark.parametrize("job", [JobSection(kind="x", cron="30 2 * * *"),
                                 JobSection(kind="x", every_seconds=3600)])  # fmt: skip
def test_a_clock_set_back_holds_no_job_up(schedule: Schedule, job: JobSection) -> None:
    schedule.scheduler.start({"x": job})
    schedule.set_clock(-30 * DAY)
    now, longest = datetime.now(UTC) - timedelta(days=30), timedelta(days=1, minutes=1)
    until = time.monotonic() + 10
    while schedule.next_run() - now > longest and time.monotonic() < until:
        time.sleep(0.02)
    assert timedelta(0) <= schedule.next_run() - now <= longest
    assert not schedule.due.is_set()


# -- sessions --------------------------------------------------------------------------------

HOUR = 3600.0
ANN = Identity("1", "ann", frozenset({"viewer"}))


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    state = State(tmp_path / "state.db")
    yield Sessions(state, idle_seconds=HOUR, seconds=8 * HOUR)
    state.close()


def test_no_session_lives_longer_for_a_clock_set_back(sessions: Sessions, jump: Jump) -> None:
    token = sessions.begin(ANN, "local", "127.0.0.1")
    jump(-DAY)
    found = sessions.find(token)
    assert found is not None, "nobody is signed out by it"
    assert found[1] <= time.time() + HOUR
    jump(-DAY + HOUR + 1)
    assert sessions.find(token) is None, "idle for an hour by the clock as it is now"


def test_a_session_ends_at_its_longest_after_a_clock_set_back(
    sessions: Sessions, jump: Jump
) -> None:
    token = sessions.begin(ANN, "local", "127.0.0.1")
    for quarter in range(32):
        jump(-DAY + quarter * HOUR / 4)
        assert sessions.find(token) is not None, quarter
    jump(-DAY + 8 * HOUR + 1)
    assert sessions.find(token) is None


def test_sessions_end_when_the_clock_goes_ahead(sessions: Sessions, jump: Jump) -> None:
    token = sessions.begin(ANN, "local", "127.0.0.1")
    jump(DAY)
    assert sessions.find(token) is None
    again = sessions.begin(ANN, "local", "127.0.0.1")
    assert sessions.find(again) is not None


# -- the door --------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_the_door_takes_events_and_answers_over_a_jump(
    tmp_path: Path, jump: Jump, seconds: float
) -> None:
    """All that was acknowledged is in the log, in order, and known to the next answer."""
    till = Till()
    with InThread(tmp_path) as server:
        server.events(*(till.sale(f"x{n}", p) for n, p in enumerate("aab")))
        assert server.offered("x1") == ["a", "b"]
        jump(seconds)
        server.events(till.sale("x9", "c"), till.stock("a", 0))
        assert server.offered("x1") == ["b", "c"]
        jump(0.0)
        server.events(till.activity("x1", "basket_add", "b", time=NOON + 60))
        assert server.offered("x1") == ["c"]
        assert server.client.get("/health/ready").status_code == 200
        with closing(server.context.bus()) as bus:
            bus.open()
            assert sum(entry.entry.rows for entry in bus.read(0)) == 6
