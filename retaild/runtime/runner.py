"""Runs jobs as child processes: queued in the state, a bounded number at a time."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.explain import suggestion
from retaild.config.paths import DataDir
from retaild.config.sections import JobSection
from retaild.runtime import logs
from retaild.runtime.process import Child, child_environment, describe_exit
from retaild.runtime.state import Row, State

_log = logging.getLogger(__name__)

#: Runs that may wait; more are refused.
MAX_QUEUED = 32
#: Seconds a run gets for an orderly end when it is stopped.
GRACE = 3.0
#: Jobs that are done in a moment and disturb no other: they need not wait for a long one.
LIGHT = frozenset({"trim", "quality", "promote", "rollback"})
#: Jobs yield to the workers: answers come first.
NICENESS = 10


class UnknownJobError(RetaildError):
    key = "job.unknown"

    def __init__(self, job: str, known: list[str]) -> None:
        super().__init__(f"There is no job {job!r}.", hint=suggestion(job, known))


class JobBusyError(RetaildError):
    """The same job is queued or running already, as run `run_id`."""

    key = "job.busy"

    def __init__(self, job: str, run_id: int) -> None:
        self.run_id = run_id
        super().__init__(
            f"Job {job!r} is queued or running already, as run {run_id}.",
            hint="Wait for that run; a job never runs twice at once.",
        )


class QueueFullError(RetaildError):
    key = "job.queue_full"

    def __init__(self) -> None:
        super().__init__(f"{MAX_QUEUED} runs wait already.", hint="Ask again when some are done.")


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job's name stands for."""

    kind: str
    arguments: dict[str, str]
    timeout: float


#: The command of a run, given its row in the state.
CommandOf = Callable[[Row], list[str]]


def job_command(data: DataDir, config: Path | None) -> CommandOf:
    def command(run: Row) -> list[str]:
        words = [sys.executable, "-m", "retaild.runtime.job", run["job"]]
        words += ["--run-id", str(run["id"]), "--data", str(data.root)]
        words += ["--config", str(config)] if config else []
        for name, value in run["arguments"].items():
            words += ["--argument", f"{name}={value}"]
        return words

    return command


def known_kinds() -> dict[str, Any]:
    """Kind -> what it is, as the jobs package tells; imports no job."""
    kinds: dict[str, Any] = import_module("retaild.runtime.jobs").JOBS
    return kinds


class JobRunner:
    """Two lanes, heavy and light, one run in each at a time; the same job never twice.

    The queue is the state's table of runs: a request that was answered survives a crash.
    """

    def __init__(
        self,
        data: DataDir,
        state: State,
        sections: Mapping[str, JobSection],
        command: CommandOf,
        kinds: Callable[[], Mapping[str, Any]] = known_kinds,
        threads: int = 1,
    ) -> None:
        self._data, self._state, self._command, self._threads = data, state, command, threads
        self._sections, self._kinds = sections, kinds
        self._running: dict[str, tuple[int, Child | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def recover(self) -> list[int]:
        """Mark runs that a killed daemon left as killed; those that waited still wait."""
        left = self._state.runs(state="running", limit=1000)
        for run in left:
            text = "The daemon ended while this ran."
            self._state.save_run(run["id"], state="killed", finished=time.time(), error=text)
        return [run["id"] for run in left]

    def use(self, sections: Mapping[str, JobSection]) -> None:
        """Other settings, for the runs that are asked for from now on."""
        self._sections = sections

    def plan(self, job: str) -> JobPlan:
        """A configured job, or a kind by its own name. Raises UnknownJobError."""
        section = self._sections.get(job)
        kinds = self._kinds()
        kind = section.kind if section else job
        if kind not in kinds:
            raise UnknownJobError(job, sorted({*self._sections, *kinds}))
        section = section or JobSection(kind=kind)
        return JobPlan(kind, dict(section.arguments), section.timeout_seconds)

    def request(self, job: str, arguments: Mapping[str, str], trigger: str) -> int:
        """Queue a run; its id. Raises UnknownJobError, JobBusyError, QueueFullError."""
        plan = self.plan(job)
        if len(self._state.runs(state="queued", limit=MAX_QUEUED)) >= MAX_QUEUED:
            raise QueueFullError()
        run_id = self._state.request_run(job, plan.kind, {**plan.arguments, **arguments}, trigger)
        if run_id is None:
            raise JobBusyError(job, self._active_id(job))
        self.pump()
        return run_id

    def _active_id(self, job: str) -> int:
        rows = self._state.runs(job=job, limit=5)
        return next((row["id"] for row in rows if row["state"] in ("queued", "running")), 0)

    def pump(self) -> None:
        """Start what may start now, oldest first."""
        if self._stopping:
            return
        for run in reversed(self._state.runs(state="queued", limit=MAX_QUEUED)):
            lane = "light" if run["kind"] in LIGHT else "heavy"
            if lane not in self._running:
                self._running[lane] = (run["id"], None)
                task = asyncio.create_task(self._run(lane, run), name=f"run {run['id']}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: str, run: Row) -> None:
        try:
            await self._spawn_and_wait(lane, run)
        except Exception as error:
            _log.exception("run %d of %s", run["id"], run["job"])
            self._finish(run["id"], "failed", f"It could not be run: {error}")
        finally:
            del self._running[lane]
            self.pump()

    async def _spawn_and_wait(self, lane: str, run: Row) -> None:
        run_id, job = run["id"], run["job"]
        limit = self.plan(job).timeout
        logs.prune_job_logs(self._data.logs)
        environment = child_environment(self._data.root, self._threads)
        # Started and its number kept before anything is awaited: a stop sees it.
        child = Child.spawn(
            self._command(run), environment, self._data.job_log(run_id), niceness=NICENESS
        )
        self._running[lane] = (run_id, child)
        end = asyncio.create_task(child.over())
        try:
            self._state.save_run(run_id, state="running", started=time.time(), pid=child.pid)
            _log.info("run %d of %s has started", run_id, job)
            _, late = await asyncio.wait([end], timeout=limit)
            if late:
                await self._end(child, end)
                self._finish(run_id, "failed", f"It took longer than {limit:g} s and was ended.")
        except BaseException:
            child.signal(signal.SIGKILL)
            raise
        finally:
            code = await end
        self._settle(run_id, code)
        _log.info("run %d of %s: %s", run_id, job, (self._state.run(run_id) or {}).get("state"))

    async def _end(self, child: Child, end: asyncio.Task[int]) -> None:
        child.signal(signal.SIGTERM)
        _, late = await asyncio.wait([end], timeout=GRACE)
        if late:
            child.signal(signal.SIGKILL)
            await asyncio.wait([end])

    def _settle(self, run_id: int, code: int) -> None:
        """The job writes its own result; what ended without one was killed or broken."""
        run = self._state.run(run_id)
        if run is None or run["state"] != "running":
            return
        if code < 0 or self._stopping:
            why = "The daemon was stopped." if self._stopping else f"It was {describe_exit(code)}."
            self._finish(run_id, "killed", why)
            return
        words = " ".join(logs.tail(self._data.job_log(run_id), 1))
        self._finish(
            run_id, "failed", f"It ended without a result ({describe_exit(code)}). {words}"
        )

    def _finish(self, run_id: int, state: str, error: str) -> None:
        self._state.save_run(run_id, state=state, finished=time.time(), error=error.strip())

    async def stop(self) -> None:
        """End what runs; what waits stays queued for the next start."""
        self._stopping = True
        tasks = list(self._tasks)
        for _, child in self._running.values():
            if child is not None:
                child.signal(signal.SIGTERM)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=GRACE)
        if late:
            for _, child in self._running.values():
                if child is not None:
                    child.signal(signal.SIGKILL)
            await asyncio.wait(late)
