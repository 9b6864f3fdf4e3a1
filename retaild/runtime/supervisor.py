"""Keeps the workers alive: starts them, starts them again, and stops them in order.

Runs in the daemon's event loop and main thread. What it knows is written to the state, where the
pages and the command line read it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime import logs
from retaild.runtime.backoff import Backoff
from retaild.runtime.listening import READY_VARIABLE
from retaild.runtime.process import Child, child_environment, describe_exit
from retaild.runtime.state import Row, State

_log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5


class UnknownWorkerError(RetaildError):
    key = "worker.unknown"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no worker {name!r}.", hint=f"Known: {', '.join(known)}.")


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """A worker to keep alive. Workers of a lower `stage` are stopped first."""

    name: str
    kind: str
    command: tuple[str, ...]
    stage: int = 0
    #: Seconds it gets for an orderly end before it is killed.
    grace: float = 4.0
    #: What it was made from: a plan with the same fingerprint need not be replaced.
    fingerprint: str = ""
    #: Descriptors that the process inherits, and what tells it so in its environment.
    pass_fds: tuple[int, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


#: Doors close first (stage 0); then the stream, which carries what they let in to the lake.
STAGES = {"ingest": 0, "serve": 0, "stream": 1}
#: The server lets requests that it has begun end. All stages together stay below ten seconds.
GRACES = {"serve": 5.5}


def plan_worker(
    kind: str, data: DataDir, config: Path | None, entry: str | None = None
) -> WorkerPlan:
    command = [sys.executable, "-m", "retaild.runtime.worker", kind, "--data", str(data.root)]
    command += ["--config", str(config)] if config else []
    command += ["--entry", entry] if entry else []
    return WorkerPlan(kind, kind, tuple(command), STAGES.get(kind, 0), GRACES.get(kind, 4.0))


@dataclass
class _Worker:
    """A worker as it is now."""

    plan: WorkerPlan
    backoff: Backoff
    state: str = "starting"
    child: Child | None = None
    since: float = 0.0
    restarts: int = 0
    #: The worker's newest sign of life, and when this process saw it change (monotonic).
    beat: float | None = None
    beat_seen: float = 0.0
    #: Why we ended it ourselves, if we did.
    ended_because: str = ""
    #: A process that was started already, beside the one before it.
    adopted: Child | None = None
    #: It is not kept any longer; its row in the state is somebody else's, or nobody's.
    leaving: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)


def _kill_if_same(worker: _Worker, child: Child) -> None:
    if worker.child is child:
        child.signal(signal.SIGKILL)


class Supervisor:
    """`start()`, then `await stop()`; both are called in the event loop's thread."""

    def __init__(
        self,
        data: DataDir,
        state: State,
        plans: Sequence[WorkerPlan],
        *,
        hung_seconds: float = 60.0,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._data = data
        self._state = state
        self.hung_seconds = hung_seconds
        self._backoff = backoff
        self._workers = {plan.name: _Worker(plan, backoff()) for plan in plans}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        for row in self._state.workers():
            if row["name"] not in self._workers:
                self._state.forget_worker(row["name"])
        for worker in self._workers.values():
            self._begin(worker)
        self._watch = asyncio.create_task(self._watch_all(), name="watch workers")

    def restart(self, name: str) -> None:
        """End a worker in an orderly way and start it again at once, without a pause."""
        worker = self._workers.get(name)
        if worker is None:
            raise UnknownWorkerError(name, self._workers)
        worker.ended_because = "a restart was asked for"
        worker.wake.set()
        if worker.child is not None:
            child = worker.child
            child.signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(worker.plan.grace, _kill_if_same, worker, child)

    def all_running(self) -> bool:
        return all(worker.state == "running" for worker in self._workers.values())

    def names(self) -> list[str]:
        return list(self._workers)

    # -- changes while it runs ---------------------------------------------------------------------

    def plans(self) -> dict[str, WorkerPlan]:
        return {name: worker.plan for name, worker in self._workers.items()}

    def _begin(self, worker: _Worker) -> None:
        name = worker.plan.name
        self._workers[name] = worker
        self._tasks[name] = asyncio.create_task(self._keep(worker), name=f"keep {name}")

    async def add(self, plan: WorkerPlan) -> None:
        """Start it and keep it; whether it works is not waited for."""
        self._begin(_Worker(plan, self._backoff()))

    async def remove(self, name: str) -> None:
        """Stop it in an orderly way and forget it. Raises UnknownWorkerError."""
        await self._leave(self._known(name))
        self._state.forget_worker(name)

    async def replace(self, plan: WorkerPlan, *, ready_seconds: float) -> bool:
        """Stop the old, then start the new; True once it has reported that it works.

        If it does not within `ready_seconds`, the old one runs again.
        """
        old = self._known(plan.name)
        await self._leave(old)
        new = _Worker(plan, self._backoff())
        self._begin(new)
        if await self._running(new, ready_seconds):
            return True
        await self._leave(new)
        self._begin(_Worker(old.plan, self._backoff()))
        return False

    async def swap(self, plan: WorkerPlan, *, ready_seconds: float) -> bool:
        """Start the new beside the old, which is stopped when the new says that it is ready.

        It says so by a byte to the descriptor that READY_VARIABLE names. If it does not, nothing
        has happened to the old one.
        """
        old = self._known(plan.name)
        child = await self._start_beside(plan, ready_seconds)
        if child is None:
            return False
        old.leaving = True
        leaving = self._tasks[plan.name]
        self._begin(_Worker(plan, self._backoff(), adopted=child))
        await self._end(old, leaving)
        return True

    async def _start_beside(self, plan: WorkerPlan, seconds: float) -> Child | None:
        reading, writing = os.pipe()
        try:
            environment = {**self._environment(plan), READY_VARIABLE: str(writing)}
            log = self._data.worker_log(plan.name)
            fds = (*plan.pass_fds, writing)
            child = Child.spawn(plan.command, environment, log, pass_fds=fds)
        finally:
            os.close(writing)
        try:
            if await _told(reading, seconds):
                return child
        finally:
            os.close(reading)
        child.signal(signal.SIGKILL)
        await ended(child)
        return None

    def _environment(self, plan: WorkerPlan) -> dict[str, str]:
        return {**child_environment(self._data.root, threads=1), **dict(plan.environment)}

    def _known(self, name: str) -> _Worker:
        if name not in self._workers:
            raise UnknownWorkerError(name, self._workers)
        return self._workers[name]

    async def _leave(self, worker: _Worker) -> None:
        worker.leaving = True
        task = self._tasks.pop(worker.plan.name)
        del self._workers[worker.plan.name]
        await self._end(worker, task)

    async def _running(self, worker: _Worker, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while worker.state != "running" and time.monotonic() < until:
            await asyncio.sleep(0.05)
        return worker.state == "running"

    async def stop(self) -> None:
        """Stop stage by stage; a worker that takes longer than its grace is killed."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
        for stage in sorted({worker.plan.stage for worker in self._workers.values()}):
            members = [w for w in self._workers.values() if w.plan.stage == stage]
            await asyncio.gather(*(self._stop_one(worker) for worker in members))

    async def _stop_one(self, worker: _Worker) -> None:
        task = self._tasks.get(worker.plan.name)
        if task is not None:
            await self._end(worker, task)

    async def _end(self, worker: _Worker, task: asyncio.Task[None]) -> None:
        worker.wake.set()
        if worker.child is not None:
            self._set(worker, "stopping")
            worker.child.signal(signal.SIGTERM)
        _, late = await asyncio.wait([task], timeout=worker.plan.grace)
        if late and worker.child is not None:
            _log.warning("%s did not stop in %g s: killed", worker.plan.name, worker.plan.grace)
            worker.child.signal(signal.SIGKILL)
            await asyncio.wait([task])

    async def _keep(self, worker: _Worker) -> None:
        """The life of one worker, over all its processes."""
        while not self._stopping and not worker.leaving:
            began = time.monotonic()
            error = await self._run_once(worker)
            if self._stopping or worker.leaving:
                break
            asked = worker.ended_because.startswith("a restart")
            pause = 0.0 if asked else worker.backoff.pause(time.monotonic() - began)
            worker.restarts += 1
            _log.log(
                logging.INFO if asked else logging.WARNING,
                "%s ended (%s); next start in %g s", worker.plan.name, error, pause,
            )  # fmt: skip
            worker.ended_because = ""
            self._set(worker, "backoff", restarts=worker.restarts, last_error=error)
            await _pause(worker.wake, pause)
        self._set(worker, "stopped")

    async def _run_once(self, worker: _Worker) -> str:
        """Start the process and wait for its end; why it ended."""
        before = self._last_error(worker)
        log = self._data.worker_log(worker.plan.name)
        logs.put_aside(log)
        try:
            plan = worker.plan
            child = worker.adopted or Child.spawn(
                plan.command, self._environment(plan), log, pass_fds=plan.pass_fds
            )
            worker.adopted = None
        except OSError as error:
            return f"it cannot be started: {error}"
        worker.child, worker.since, worker.beat_seen = child, time.time(), time.monotonic()
        worker.ended_because = ""
        worker.wake.clear()
        self._set(worker, "starting", since=worker.since)
        code = await ended(child)
        worker.child = None
        return worker.ended_because or self._why(worker, code, before)

    def _why(self, worker: _Worker, code: int, before: str | None) -> str:
        """The worker's own last error if it left one, else how it ended and its last words."""
        own = self._last_error(worker)
        if code > 0 and own and own != before:
            return own
        words = logs.tail(self._data.worker_log(worker.plan.name), 1) if code > 0 else []
        return (
            f"{describe_exit(code)}; its last words: {words[0]}" if words else describe_exit(code)
        )

    def _last_error(self, worker: _Worker) -> str | None:
        error: str | None = self._rows().get(worker.plan.name, {}).get("last_error")
        return error

    def _rows(self) -> dict[str, Row]:
        try:
            return {row["name"]: row for row in self._state.workers()}
        except sqlite3.Error as error:
            _log.error("cannot read the state of the workers: %s", error)
            return {}

    def _set(self, worker: _Worker, state: str, **columns: object) -> None:
        worker.state = state
        if worker.leaving:
            return
        pid = worker.child.pid if worker.child else None
        try:
            self._state.save_worker(
                worker.plan.name, kind=worker.plan.kind, pid=pid, state=state, **columns
            )
        except sqlite3.Error as error:  # a full disk must not end the supervision
            _log.error("cannot write down that %s is %s: %s", worker.plan.name, state, error)

    async def _watch_all(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            rows = self._rows()
            for name, worker in self._workers.items():
                if worker.child is not None and name in rows:
                    self._watch_one(worker, worker.child, rows[name]["beat"])

    def _watch_one(self, worker: _Worker, child: Child, beat: float | None) -> None:
        """The worker's clock is compared with nothing: what counts is that its beat changes."""
        now = time.monotonic()
        if beat != worker.beat:
            worker.beat, worker.beat_seen = beat, now
            if worker.state == "starting" and beat is not None and beat >= worker.since:
                self._set(worker, "running")
        elif now - worker.beat_seen > self.hung_seconds and not worker.ended_because:
            worker.ended_because = f"no sign of life for {self.hung_seconds:g} s"
            child.signal(signal.SIGUSR1)  # writes to the log where it hangs
            asyncio.get_running_loop().call_later(0.5, _kill_if_same, worker, child)


async def _told(descriptor: int, seconds: float) -> bool:
    """Whether a byte comes within so many seconds; the other end may close without one."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, heard.set)
    try:
        await asyncio.wait_for(heard.wait(), seconds)
        return bool(os.read(descriptor, 1))
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)


async def ended(child: Child) -> int:
    """Wait for a child's end without polling; its exit code."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(child.pidfd, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(child.pidfd)
    return child.finish()


async def _pause(wake: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return
