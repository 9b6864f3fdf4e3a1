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
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime import logs
from retaild.runtime.backoff import Backoff
from retaild.runtime.instances import InstanceStore
from retaild.runtime.isolation.family import Table
from retaild.runtime.isolation.guard import ComponentGuard, Guard, guard_of
from retaild.runtime.isolation.logpump import harmless
from retaild.runtime.isolation.server import ForkedChild, ForkServer
from retaild.runtime.isolation.watch import Bounds
from retaild.runtime.kept import HELD_STATES, Failure, Kept, hopeless
from retaild.runtime.listening import READY_VARIABLE
from retaild.runtime.plans import WorkerPlan, plan_worker
from retaild.runtime.process import (
    WORKER_VARIABLE,
    Child,
    child_environment,
    describe_exit,
    sweep,
)
from retaild.runtime.state import Row, State
from retaild.runtime.waiting import pause, told

__all__ = ["Failure", "Supervisor", "UnknownWorkerError", "WorkerPlan", "plan_worker"]

_log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
#: What workers take is looked at once in so many of these, where there is no component to look at.
_SELDOM = 2
#: Pause after a fault of ours in keeping one.
FAULT_SECONDS = 1.0


#: So many lines of its log are shown of what did not work.
_LOG_LINES = 10


class UnknownWorkerError(RetaildError):
    key = "worker.unknown"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no worker {name!r}.", hint=f"Known: {', '.join(known)}.")


def _kill_if_same(worker: Kept, child: Child | ForkedChild) -> None:
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
        fatal: Callable[[str], None] = lambda _reason: None,
        server: ForkServer | None = None,
    ) -> None:
        """`fatal` is told when a component with `startup = "error"` cannot be opened."""
        self._data = data
        self._state = state
        self.hung_seconds = hung_seconds
        self._backoff = backoff
        self._fatal = fatal
        self._store = InstanceStore(state)
        self._server = server or ForkServer(data)
        self._workers = {plan.name: self._new(plan) for plan in plans}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False
        self._looks = 0

    def _new(self, plan: WorkerPlan, adopted: Child | None = None) -> Kept:
        guard = guard_of(plan, self._store, self._server)
        return Kept(plan, self._backoff(), guard=guard, adopted=adopted)

    def start(self) -> None:
        if any(worker.plan.isolated for worker in self._workers.values()):
            self._server.start()  # preloads while the workers start
        for row in self._state.workers():
            if row["name"] not in self._workers:
                self._state.forget_worker(row["name"])
        for worker in self._workers.values():
            self._begin(worker)
        self._watch = asyncio.create_task(self._watch_all(), name="watch workers")

    def restart(self, name: str) -> None:
        """End a worker in an orderly way and start it again at once, without a pause."""
        self._interrupt(self._known(name), "a restart was asked for")

    def _interrupt(self, worker: Kept, why: str) -> None:
        worker.ended_because, worker.wished = why, True
        worker.wake.set()
        if worker.child is not None:
            child = worker.child
            child.signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(worker.plan.grace, _kill_if_same, worker, child)

    def look_again(self, name: str, why: str) -> None:
        """Somebody changed the standing of an instance: end it, or let it start, at once."""
        worker = self._workers.get(name)
        if worker is None or worker.guard is None:
            return  # nothing runs under that name now; its standing counts when it is configured
        worker.guard.left_out = False
        worker.backoff = self._backoff()
        if worker.guard.held().standing != "enabled":
            self._interrupt(worker, why)
        elif worker.child is None:
            worker.wake.set()

    def try_left_out(self) -> None:
        """Those that `startup = "ignore"` left out get another chance, as after a reload."""
        for worker in self._workers.values():
            if worker.guard is not None and worker.guard.left_out:
                worker.guard.left_out = False
                worker.wake.set()

    def held(self, name: str) -> bool:
        """Whether somebody wants it not to run: it is disabled or in quarantine."""
        worker = self._workers.get(name)
        return worker is not None and worker.state in HELD_STATES

    def all_running(self) -> bool:
        """All that may run."""
        settled = ("running", *HELD_STATES)
        return all(worker.state in settled for worker in self._workers.values())

    def names(self) -> list[str]:
        return list(self._workers)

    # -- changes while it runs ---------------------------------------------------------------------

    def plans(self) -> dict[str, WorkerPlan]:
        return {name: worker.plan for name, worker in self._workers.items()}

    def _begin(self, worker: Kept) -> None:
        name = worker.plan.name
        self._workers[name] = worker
        self._tasks[name] = asyncio.create_task(self._keep_always(worker), name=f"keep {name}")

    async def add(self, plan: WorkerPlan) -> None:
        """Start it and keep it; whether it works is not waited for."""
        self._begin(self._new(plan))

    async def remove(self, name: str) -> None:
        """Stop it in an orderly way and forget it. Raises UnknownWorkerError."""
        await self._leave(self._known(name))
        self._state.forget_worker(name)

    async def apart(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Stop it, do what its process must not see half done, start it again.

        Raises UnknownWorkerError. No change of the plans may run meanwhile.
        """
        old = self._known(name)
        await self._leave(old)
        try:
            await work()
        finally:
            self._begin(self._new(old.plan))

    async def replace(
        self, plan: WorkerPlan, *, ready_seconds: float, first_seconds: float = 0.0,
        keep: bool = False,
    ) -> Failure | None:  # fmt: skip
        """Stop the old, then start the new; None once it has reported that it works.

        If it does not within `ready_seconds` (`first_seconds` while it has not failed once), or
        nothing but another plan could make it, the old one runs again, unless the new one is to be
        kept. What somebody holds back is replaced without being started; what the host had put
        into quarantine is tried.
        """
        old = self._known(plan.name)
        await self._leave(old)
        new = self._new(plan)
        before = new.guard.forgive(old.plan.fingerprint) if new.guard else None
        self._begin(new)
        failure = await self._failure(new, ready_seconds, first_seconds)
        if failure is None or keep:
            return failure
        await self._leave(new)
        again = self._new(old.plan)
        if new.guard is not None and before is not None:
            new.guard.hold_again(before)
        elif again.guard is not None:
            # The new one's failures are not the old one's.
            again.guard.forgive(plan.fingerprint)
        self._begin(again)
        return failure

    async def swap(self, plan: WorkerPlan, *, ready_seconds: float) -> Failure | None:
        """Start the new beside the old, which is stopped when the new says that it is ready.

        It says so by a byte to the descriptor that READY_VARIABLE names. If it does not, nothing
        has happened to the old one.
        """
        old = self._known(plan.name)
        child = await self._start_beside(plan, ready_seconds)
        if isinstance(child, Failure):
            return child
        old.leaving = True
        leaving = self._tasks[plan.name]
        self._begin(self._new(plan, adopted=child))
        await self._end(old, leaving)
        return None

    async def _start_beside(self, plan: WorkerPlan, seconds: float) -> Child | Failure:
        before = self._last_error(plan.name)
        reading, writing = os.pipe()
        try:
            environment = {**self._environment(plan), READY_VARIABLE: str(writing)}
            log = self._data.worker_log(plan.name)
            fds = (*plan.pass_fds, writing)
            child = Child.spawn(plan.command, environment, log, pass_fds=fds)
        finally:
            os.close(writing)
        try:
            if await told(reading, seconds):
                return child
        finally:
            os.close(reading)
        # A pipe that was closed without a word mostly means that it has ended.
        over = asyncio.ensure_future(child.over())
        await asyncio.wait([over], timeout=1.0)
        reason = f"it was not ready within {seconds:g} s"
        if over.done():
            reason = self._why(plan.name, over.result(), before)
        child.signal(signal.SIGKILL)
        await over
        return Failure(reason, self._log_lines(plan.name))

    def _environment(self, plan: WorkerPlan) -> dict[str, str]:
        own = {WORKER_VARIABLE: plan.name, **dict(plan.environment)}
        return {**child_environment(self._data.root, threads=1), **own}

    def _known(self, name: str) -> Kept:
        if name not in self._workers:
            raise UnknownWorkerError(name, self._workers)
        return self._workers[name]

    async def _leave(self, worker: Kept) -> None:
        worker.leaving = True
        task = self._tasks.pop(worker.plan.name)
        del self._workers[worker.plan.name]
        await self._end(worker, task)

    async def _failure(self, worker: Kept, seconds: float, first: float) -> Failure | None:
        """None once it works, or somebody holds it back; else why it does not."""
        began = time.monotonic()
        reason = ""
        while worker.state != "running" and not reason:
            reason = hopeless(worker)
            allowed = seconds if worker.error else max(seconds, first)
            if not reason and time.monotonic() > began + allowed:
                last = f"; it ended: {worker.error.rstrip('.')}" if worker.error else ""
                reason = f"it was not ready within {allowed:g} s{last}"
            await asyncio.sleep(0.05)
        if not reason or (worker.guard is not None and worker.guard.held().by_person):
            return None
        return Failure(reason, self._log_lines(worker.plan.name))

    def hopeless(self, name: str) -> str:
        """Why it will not come to work by itself; "" if it may. Raises UnknownWorkerError."""
        return hopeless(self._known(name))

    def _log_lines(self, name: str) -> tuple[str, ...]:
        return tuple(logs.tail(self._data.worker_log(name), _LOG_LINES))

    async def stop(self) -> None:
        """Stop stage by stage; a worker that takes longer than its grace is killed."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
        for stage in sorted({worker.plan.stage for worker in self._workers.values()}):
            members = [w for w in self._workers.values() if w.plan.stage == stage]
            await asyncio.gather(*(self._stop_one(worker) for worker in members))
        await self._server.stop()

    async def _stop_one(self, worker: Kept) -> None:
        task = self._tasks.get(worker.plan.name)
        if task is not None:
            await self._end(worker, task)

    async def _end(self, worker: Kept, task: asyncio.Task[None]) -> None:
        worker.wake.set()
        if worker.child is not None:
            self._set(worker, "stopping")
            worker.child.signal(signal.SIGTERM)
        _, late = await asyncio.wait([task], timeout=worker.plan.grace)
        if late and worker.child is not None:
            _log.warning("%s did not stop in %g s: killed", worker.plan.name, worker.plan.grace)
            worker.child.signal(signal.SIGKILL)
            await asyncio.wait([task])

    async def _keep_always(self, worker: Kept) -> None:
        """A fault of ours, or of the disk, must not leave one without anybody who keeps it."""
        while True:
            try:
                return await self._keep(worker)
            except Exception:
                _log.exception("keeping %s", worker.plan.name)
            if worker.child is not None:  # nobody would notice its end
                child, worker.child = worker.child, None
                child.signal(signal.SIGKILL)
                await child.over()
            worker.wake.clear()
            await pause(worker.wake, FAULT_SECONDS)

    async def _keep(self, worker: Kept) -> None:
        """The life of one worker, over all its processes."""
        while await self._may_run(worker):
            began = time.monotonic()
            error, code = await self._run_once(worker)
            if self._over(worker):
                break
            wished, breach = worker.wished, bool(worker.ended_because)
            worker.wished, worker.ended_because = False, ""
            if worker.guard is not None and not wished and code is not None:
                self._judge(worker, worker.guard, code, error, breach)
            seconds = 0.0 if wished else worker.backoff.pause(time.monotonic() - began)
            worker.restarts += 1
            worker.code, worker.error = (None, "") if wished else (code, error)
            held = worker.guard is not None and worker.guard.is_held
            _log.log(
                logging.INFO if wished else logging.WARNING, "%s ended (%s); %s",
                worker.plan.name, error, "it is held" if held else f"next start in {seconds:g} s",
            )  # fmt: skip
            self._set(worker, "backoff", restarts=worker.restarts, last_error=error)
            if not held:
                await pause(worker.wake, seconds)
        self._set(worker, "stopped")

    def _over(self, worker: Kept) -> bool:
        return self._stopping or worker.leaving

    async def _may_run(self, worker: Kept) -> bool:
        """Wait until nobody holds it back; False when it is not kept any longer."""
        while not self._over(worker):
            state, reason = worker.guard.holds() if worker.guard is not None else ("", "")
            if not state:
                return True
            self._set(worker, state, last_error=reason)
            worker.wake.clear()
            await worker.wake.wait()
        return False

    def _judge(self, worker: Kept, guard: Guard, code: int, error: str, breach: bool) -> None:
        lines = logs.tail(self._data.worker_log(worker.plan.name), 20)
        verdict = guard.after(code, error, [harmless(line) for line in lines], breach=breach)
        if verdict == "left out":
            _log.warning("%s cannot be opened and is left out: %s", worker.plan.name, error)
        elif verdict == "fatal":
            self._fatal(f"{worker.plan.name} cannot be opened: {error}")

    async def _run_once(self, worker: Kept) -> tuple[str, int | None]:
        """Start the process and wait for its end; why it ended, and its code if it had one."""
        row = self._rows().get(worker.plan.name, {})
        # What the process before it, or another daemon's, has left there tells nothing of this one.
        before, worker.beat = row.get("last_error"), row.get("beat", worker.beat)
        worker.ended_because, worker.wished = "", False
        worker.wake.clear()
        try:
            child = await self._spawn(worker)
        except OSError as error:
            return f"it cannot be started: {error}", None
        worker.child, worker.began = child, time.monotonic()
        worker.beat_seen = worker.began
        self._set(worker, worker.state, since=worker.since)
        if worker.wished or self._over(worker):  # while it was being started
            child.signal(signal.SIGTERM)
        code = await child.over()
        worker.child = worker.bounds = None
        if worker.plan.hosting is not None and worker.plan.hosting.quarantines:
            # Its group is gone; a plugin may have begun sessions of its own.
            sweep(self._data.root, f"{WORKER_VARIABLE}={worker.plan.name}")
        why = worker.ended_because or self._why(worker.plan.name, code, before)
        if isinstance(child, ForkedChild) and child.lost:
            return "the fork server ended, and it with it", None
        return why, code

    async def _spawn(self, worker: Kept) -> Child | ForkedChild:
        plan, worker.since = worker.plan, time.time()
        worker.state = "starting"
        if isinstance(worker.guard, ComponentGuard):
            return await worker.guard.spawn(lambda: self._opened(worker))
        child = self._spawn_worker(worker)
        if plan.hosting is not None:
            worker.bounds = Bounds(child.pid, plan.hosting.limits)
        return child

    def _spawn_worker(self, worker: Kept) -> Child:
        plan, log = worker.plan, self._data.worker_log(worker.plan.name)
        logs.put_aside(log)
        if worker.adopted is not None:
            child, worker.adopted = worker.adopted, None
            worker.state = "running"  # it has said so
            return child
        return Child.spawn(plan.command, self._environment(plan), log, pass_fds=plan.pass_fds)

    def _opened(self, worker: Kept) -> None:
        if worker.state == "starting":
            self._set(worker, "running")

    def _why(self, name: str, code: int, before: str | None) -> str:
        """The worker's own last error if it left one, else how it ended and its last words."""
        own = self._last_error(name)
        words = logs.tail(self._data.worker_log(name), 1) if code > 0 else []
        # The same error once more leaves the same words in the state: then the log tells.
        if code > 0 and own and (own != before or (words and words[0].endswith(own))):
            return own
        return (
            f"{describe_exit(code)}; its last words: {words[0]}" if words else describe_exit(code)
        )

    def _last_error(self, name: str) -> str | None:
        error: str | None = self._rows().get(name, {}).get("last_error")
        return error

    def _rows(self) -> dict[str, Row]:
        try:
            return {row["name"]: row for row in self._state.workers()}
        except sqlite3.Error as error:
            _log.error("cannot read the state of the workers: %s", error)
            return {}

    def _set(self, worker: Kept, state: str, **columns: object) -> None:
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
            try:
                self._look()
            except Exception:  # who watches must outlive whatever there is to see
                _log.exception("watching the workers")

    def _look(self) -> None:
        rows, table = self._rows(), self._table()
        for name, worker in list(self._workers.items()):
            if worker.child is None or name not in rows:
                continue
            if not isinstance(worker.guard, ComponentGuard):
                self._watch_one(worker, worker.child, rows[name])
                self._watch_bounds(worker, worker.child, table)
            elif table is not None:
                self._watch_component(worker, worker.guard, worker.child, table, rows[name])

    def _table(self) -> Table | None:
        """The processes, as often as somebody's have to be looked at."""
        self._looks += 1
        living = [worker for worker in self._workers.values() if worker.child is not None]
        often = any(worker.plan.isolated for worker in living)
        seldom = self._looks % _SELDOM == 0 and any(worker.bounds for worker in living)
        return Table() if often or seldom else None

    def _watch_one(self, worker: Kept, child: Child | ForkedChild, row: Row) -> None:
        """The worker's clock is compared with nothing: what counts is that its beat changes.

        Also since its start: a clock that was set back makes its first beat older than that.
        """
        now, beat = time.monotonic(), row["beat"]
        allowed, words = self._patience(worker, row)
        if beat != worker.beat:
            worker.beat, worker.beat_seen = beat, now
            if worker.state == "starting" and beat is not None:
                self._set(worker, "running")
        elif now - worker.beat_seen > allowed:
            self._end_for(worker, child, f"{words} {allowed:g} s")

    def _patience(self, worker: Kept, row: Row) -> tuple[float, str]:
        """How long it may be silent now, and the beginning of what is said if it was longer."""
        hosting = worker.plan.hosting
        if hosting is not None and hosting.opened is not None:
            # What the process before it has left there tells nothing of this one.
            own = worker.beat_seen > worker.began
            if not (own and hosting.opened in (row["figures"] or {})):
                return hosting.limits.open_seconds, "it was not open after"
        stated = hosting.hung_seconds if hosting is not None else None
        return stated or self.hung_seconds, "no sign of life for"

    def _watch_bounds(self, worker: Kept, child: Child | ForkedChild, table: Table | None) -> None:
        if worker.bounds is None or table is None:
            return
        reason = worker.bounds.excess(table.look(child.pid))
        if reason is not None:
            self._end_for(worker, child, reason)
        elif worker.guard is not None:
            self._note_health(worker, worker.guard)

    def _watch_component(
        self, worker: Kept, guard: ComponentGuard, child: Child | ForkedChild, table: Table,
        row: Row,
    ) -> None:  # fmt: skip
        reason = guard.breach(table, row)
        if reason is not None:
            self._end_for(worker, child, reason)
        else:
            self._note_health(worker, guard)

    def _note_health(self, worker: Kept, guard: Guard) -> None:
        if worker.state == "running" and time.monotonic() - worker.began > worker.backoff.healthy:
            guard.settled()

    def _end_for(self, worker: Kept, child: Child | ForkedChild, reason: str) -> None:
        if worker.ended_because:
            return
        worker.ended_because = reason
        child.signal(signal.SIGUSR1)  # writes to the log what it was doing
        asyncio.get_running_loop().call_later(0.2, _kill_if_same, worker, child)
