"""When jobs run: the schedule on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from retaild.config.sections import JobSection
from retaild.runtime.scheduler import Scheduler, trigger, weekday_names, written

LONDON = ZoneInfo("Europe/London")


class Due:
    """Collects what became due."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.happened = threading.Event()

    def __call__(self, job: str) -> None:
        self.jobs.append(job)
        self.happened.set()


@pytest.fixture
def due() -> Due:
    return Due()


@pytest.fixture
def schedulers() -> Iterator[list[Scheduler]]:
    started: list[Scheduler] = []
    yield started
    for scheduler in started:
        scheduler.stop()


def cron(line: str) -> JobSection:
    return JobSection(kind="x", cron=line)


def every(seconds: int) -> JobSection:
    return JobSection(kind="x", every_seconds=seconds)


@pytest.mark.parametrize(
    ("crontab", "names"),
    [
        ("*", "*"),
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("mon-fri", "mon-fri"),
        ("6,0", "sat,sun"),
        ("5-7", "fri,sat,sun"),
        ("*/2", "sun,tue,thu,sat"),
        ("1-5/2", "mon,wed,fri"),
    ],
)
def test_weekdays_count_from_sunday_as_in_crontab(crontab: str, names: str) -> None:
    assert weekday_names(crontab) == names


@pytest.mark.parametrize(
    ("line", "after", "then"),
    [
        # 2024-07-01 was a Monday; London was an hour ahead of UTC.
        ("30 3 * * *", datetime(2024, 7, 1, 12, tzinfo=UTC),
         datetime(2024, 7, 2, 2, 30, tzinfo=UTC)),
        ("0 9 * * 0", datetime(2024, 7, 1, 12, tzinfo=UTC), datetime(2024, 7, 7, 8, tzinfo=UTC)),
        ("*/15 * * * *", datetime(2024, 7, 1, 12, 1, tzinfo=UTC),
         datetime(2024, 7, 1, 12, 15, tzinfo=UTC)),
        ("0 0 1 jan *", datetime(2024, 7, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_next_time_of_a_crontab_line(line: str, after: datetime, then: datetime) -> None:
    assert trigger(cron(line), LONDON).get_next_fire_time(None, after) == then


def test_only_scheduled_and_enabled_jobs_are_in_it(
    tmp_path: Path, due: Due, schedulers: list[Scheduler]
) -> None:
    scheduler = Scheduler(tmp_path / "s.db", "UTC", due)
    schedulers.append(scheduler)
    scheduler.start({
        "a": every(3600), "b": cron("0 0 * * *"), "c": JobSection(kind="x"),
        "d": JobSection(kind="x", every_seconds=60, enabled=False),
    })  # fmt: skip
    assert sorted(scheduler.next_runs()) == ["a", "b"]
    assert written(JobSection(kind="x")) == ""


def test_an_unchanged_schedule_keeps_its_next_time(
    tmp_path: Path, due: Due, schedulers: list[Scheduler]
) -> None:
    """Restarting every hour must not put off what is due every two hours; a change counts."""
    path = tmp_path / "s.db"
    first = Scheduler(path, "UTC", due)
    first.start({"a": every(7200), "b": every(7200), "gone": every(60)})
    before = first.next_runs()
    first.stop()
    second = Scheduler(path, "UTC", due)
    schedulers.append(second)
    second.start({"a": every(7200), "b": every(600)})
    after = second.next_runs()
    assert after["a"] == before["a"]
    assert after["b"] - datetime.now(UTC) <= timedelta(seconds=600)
    assert "gone" not in after


def test_a_due_job_is_told_once_per_time(
    tmp_path: Path, due: Due, schedulers: list[Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    section = JobSection(kind="x", every_seconds=10).model_copy(update={"every_seconds": 1})
    scheduler = Scheduler(tmp_path / "s.db", "UTC", due)
    schedulers.append(scheduler)
    scheduler.start({"a": section})
    assert due.happened.wait(5)
    assert due.jobs == ["a"]


def test_two_schedules_do_not_mix(tmp_path: Path, schedulers: list[Scheduler]) -> None:
    one, other = Due(), Due()
    section = JobSection(kind="x", every_seconds=10).model_copy(update={"every_seconds": 1})
    for name, sink in (("1.db", one), ("2.db", other)):
        scheduler = Scheduler(tmp_path / name, "UTC", sink)
        schedulers.append(scheduler)
        scheduler.start({name: section})
    assert one.happened.wait(5)
    assert other.happened.wait(5)
    assert set(one.jobs) == {"1.db"}
    assert set(other.jobs) == {"2.db"}
