"""When jobs run. APScheduler keeps the clock on disk; the runner does the work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from retaild.api.broken_files import set_aside_if_broken
from retaild.config.sections import JobSection
from retaild.runtime.clock_watch import ClockWatch

_log = logging.getLogger(__name__)

#: Where due jobs go, by the path of the schedule: what is stored on disk can only name functions.
_SINKS: dict[str, Callable[[str], None]] = {}

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


def fire(schedule: str, job: str, written: str) -> None:
    """Called by APScheduler when a job is due; `written` is the schedule as configured."""
    sink = _SINKS.get(schedule)
    if sink is not None:
        sink(job)


class Scheduler:
    """Calls `due(job)` from its own thread when a job's time has come.

    A time that passed while nothing ran is made up for once, at the next start.
    """

    def __init__(self, path: Path, timezone: str, due: Callable[[str], None]) -> None:
        self._key = str(path)
        self._zone = ZoneInfo(timezone)
        _SINKS[self._key] = due
        set_aside_if_broken(
            path, "A new schedule is made from the configuration; a run missed meanwhile is not "
            "made up for.",
        )  # fmt: skip
        self._scheduler = BackgroundScheduler(
            jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{path}")},
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=self._zone,
        )
        self._scheduled: Mapping[str, JobSection] = {}
        self._watch = ClockWatch(self._clock_was_set)

    def start(self, jobs: Mapping[str, JobSection]) -> None:
        """Take over the configured schedule and start the clock.

        A job whose schedule is unchanged keeps its stored next time: that is how a missed run is
        noticed.
        """
        self._scheduler.start(paused=True)
        self._take_over(jobs)
        self._scheduler.resume()
        self._watch.start()

    def sync(self, jobs: Mapping[str, JobSection], timezone: str) -> None:
        """Take over a changed schedule while the clock runs; what is unchanged keeps its time."""
        self._zone = ZoneInfo(timezone)
        self._scheduler.pause()
        try:
            self._take_over(jobs)
        finally:
            self._scheduler.resume()

    def _take_over(self, jobs: Mapping[str, JobSection]) -> None:
        scheduled = {name: job for name, job in jobs.items() if job.enabled and written(job)}
        for stored in self._scheduler.get_jobs():
            if stored.id not in scheduled:
                self._scheduler.remove_job(stored.id)
        for name, job in scheduled.items():
            self._schedule(name, job)
        self._scheduled = scheduled

    def _clock_was_set(self, seconds: float) -> None:
        """What has become due runs now; what was due later than it should be is due earlier."""
        if seconds < 0:
            for name, job in self._scheduled.items():
                self._schedule(name, job, anew=True)
        self._scheduler.wakeup()

    def _schedule(self, name: str, job: JobSection, *, anew: bool = False) -> None:
        arguments = [self._key, name, f"{written(job)} {self._zone.key}"]
        stored = self._scheduler.get_job(name)
        if anew or stored is None or list(stored.args) != arguments:
            self._scheduler.add_job(
                fire, trigger(job, self._zone), args=arguments, id=name, replace_existing=True
            )

    def next_runs(self) -> dict[str, datetime]:
        """Job -> when it is due next (UTC)."""
        jobs = self._scheduler.get_jobs()
        return {job.id: job.next_run_time.astimezone(UTC) for job in jobs if job.next_run_time}

    def stop(self) -> None:
        self._watch.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        _SINKS.pop(self._key, None)


def written(job: JobSection) -> str:
    """The schedule in words, as configured; empty if the job runs only when asked."""
    if job.cron:
        return f"cron {job.cron}"
    return f"every {job.every_seconds} s" if job.every_seconds else ""


def trigger(job: JobSection, zone: ZoneInfo) -> Any:
    """APScheduler's trigger for a job that has a schedule."""
    if job.every_seconds:
        return IntervalTrigger(seconds=job.every_seconds, timezone=zone)
    assert job.cron is not None
    minute, hour, day, month, weekday = job.cron.split()
    return CronTrigger(
        minute=minute, hour=hour, day=day, month=month,
        day_of_week=weekday_names(weekday), timezone=zone,
    )  # fmt: skip


def weekday_names(field: str) -> str:
    """A crontab's weekday field in names: crontab counts from Sunday, APScheduler from Monday."""
    return ",".join(_weekday_part(part) for part in field.lower().split(","))


def _weekday_part(part: str) -> str:
    span, _, step = part.partition("/")
    first, _, last = span.partition("-")
    if step or (last and first.isdigit() and last.isdigit()):
        low, high = (0, 6) if span == "*" else (_day_number(first), _day_number(last or "6"))
        return ",".join(_WEEKDAYS[day] for day in range(low, high + 1, int(step or 1)))
    names = [_WEEKDAYS[int(day)] if day.isdigit() else day for day in (first, last) if day]
    return "-".join(names)


def _day_number(day: str) -> int:
    return int(day) if day.isdigit() else _WEEKDAYS.index(day)
