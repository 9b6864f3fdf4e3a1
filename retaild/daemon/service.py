"""The daemon: starts everything, listens to signals and the control socket, stops in order.

    lock -> sweep -> check -> listening socket -> control socket -> workers -> schedule ... stop:
    reload, schedule, jobs, doors (ingest, serve), stream, control socket

Light on purpose: no Arrow, no numpy, no model library is ever imported here.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.active import ActiveStore
from retaild.config.faults import ConfigFaultsError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.daemon import standing
from retaild.daemon.alerting import Alerting
from retaild.daemon.lock import daemon_lock
from retaild.daemon.notify import notify, watchdog_seconds
from retaild.daemon.proposal import Proposal, propose
from retaild.daemon.reloading import Reloader
from retaild.daemon.running import Running
from retaild.daemon.server import ControlServer
from retaild.daemon.settling import watch_files
from retaild.daemon.status import api_facts, api_url, daemon_facts, job_facts, worker_facts
from retaild.runtime import logs
from retaild.runtime.component import process_name
from retaild.runtime.control import Message
from retaild.runtime.instances import InstanceStore
from retaild.runtime.plans import plan_instance
from retaild.runtime.process import sweep
from retaild.runtime.runner import CommandOf, JobBusyError, JobRunner, job_command, known_kinds
from retaild.runtime.scheduler import Scheduler
from retaild.runtime.services.supervision import end_strays
from retaild.runtime.state import State
from retaild.runtime.supervisor import Supervisor, WorkerPlan
from retaild.runtime.worker_kinds import ENTRIES

_log = logging.getLogger("retaild.daemon")

#: systemd is told "ready" when every worker has reported, or after so many seconds all the same:
#: one broken worker must not keep the others from being used.
READY_SECONDS = 20.0
#: Several turns of the ingest worker, which notices within one that a source's process has ended.
RESET_SECONDS = 1.0


@dataclass
class Daemon:
    """`run()` blocks until SIGTERM, SIGINT or `stop`; it returns the exit code."""

    settings: Settings
    data: DataDir
    config: Path | None = None
    #: Worker kind -> "module:function"; tests put their own here.
    workers: Mapping[str, str] = field(default_factory=lambda: dict(ENTRIES))
    kinds: Mapping[str, Any] | None = None
    command: CommandOf | None = None
    _phase: str = "starting"
    _code: int = 0
    _since: float = field(default_factory=time.time)

    def run(self) -> int:
        """Raises AlreadyRunningError and ConfigFaultsError before anything is started."""
        self.data.create()
        with daemon_lock(self.data):
            _log_to_file(self.data)
            swept = sweep(self.data.root)
            if swept:
                _log.warning("ended what a killed daemon had left: processes %s", swept)
            self._end_servers(name for name, one in self.settings.service.items() if one.enabled)
            code = asyncio.run(self._serve())
            self._end_servers(())
            return code

    def _end_servers(self, kept: Iterable[str]) -> None:
        """Those that are units outlive their keeper where it was killed."""
        try:
            ended = end_strays(self.settings.retaild.supervision, list(kept))
        except RetaildError as error:  # the keepers say it too, and are started again
            _log.error("%s", error)
        else:
            if ended:
                _log.warning("ended servers that nobody kept: %s", ", ".join(ended))

    async def _serve(self) -> int:
        self._stop = asyncio.Event()
        self._store = ActiveStore(self.data)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        proposal = await propose(self.config, self.data, self._store, listening=False)
        self._wire(loop, self._begin_with(proposal))
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        await self._control.start()
        self._runner.recover()
        self._supervisor.start()
        self._scheduler.start(self.settings.job)
        self._runner.pump()
        _log.info("started on %s, %s", self.data.root, api_url(self.settings))
        works = (self._report_ready(), _watchdog(), self._alerting.run(), self._watch_files())
        helpers = [asyncio.create_task(work) for work in works]
        await self._stop.wait()
        for helper in helpers:
            helper.cancel()
        await self._stop_all()
        return self._code

    def _fatal(self, reason: str) -> None:
        """A component with `startup = "error"` cannot be opened: retaild does not run without."""
        _log.error("%s", reason)
        self._code = 1
        self._stop.set()

    def _begin_with(self, proposal: Proposal) -> dict[str, WorkerPlan]:
        """Put what was read into force; the plans that it asks for. Raises ConfigFaultsError."""
        for fault in proposal.faults:
            if fault.severity == "warning":
                _log.warning("%s", fault)
        if proposal.errors or proposal.settings is None:
            self._store.discard(proposal.number)
            raise ConfigFaultsError(proposal.errors)
        self._store.forget_unproven(but=proposal.number)
        active = self._store.activate(proposal.active, proposal.number, "start", "retaild")
        self._store.prune()
        self.settings = proposal.settings
        # Sources need the hub, which the ingest worker is.
        isolating = plan_instance if "ingest" in self.workers else None
        self._running = Running(
            self.data, self.workers, active, self.settings, plan_instance=isolating
        )
        door = self._running.open_door(self.settings)
        plans = self._running.basis(self.settings, proposal, door.number).plans()
        self._running.take(active, self.settings, proposal, door)
        return plans

    def _wire(self, loop: asyncio.AbstractEventLoop, plans: Mapping[str, WorkerPlan]) -> None:
        self._state = State(self.data.state_db)
        hung = self.settings.retaild.hung_seconds
        self._supervisor = Supervisor(
            self.data, self._state, list(plans.values()), hung_seconds=hung, fatal=self._fatal
        )
        self._reloader = Reloader(
            self.data, self.config, self._state, self._supervisor, self._running, self._apply
        )
        self._runner = JobRunner(
            self.data, self._state, self.settings.job,
            self.command or job_command(self.data, self._store.path),
            kinds=known_kinds if self.kinds is None else lambda: self.kinds or {},
            threads=len(os.sched_getaffinity(0)),
        )  # fmt: skip
        self._alerting = Alerting(State(self.data.state_db), self.data, self.settings)
        self._scheduler = Scheduler(
            self.data.schedule_db, self.settings.retaild.timezone,
            lambda job: _from_thread(loop, self._due, job),
        )  # fmt: skip
        self._control = ControlServer(
            self.data,
            {
                "ping": lambda _: {"pid": os.getpid()},
                "status": self._status,
                "run-job": self._run_job,
                "restart-worker": self._restart_worker,
                "reset-source": self._reset_source,
                **{
                    f"{action}-instance": standing.command(
                        action,
                        InstanceStore(self._state),
                        lambda: self.settings,
                        self._supervisor,
                    )
                    for action in standing.ACTIONS
                },
                "stop": self._stop_asked,
                "reload": self._reload,
                "reload-status": lambda _: {"reload": self._reloader.last()},
                "config-diff": lambda _: self._reloader.diff(),
            },
        )

    def _apply(self, settings: Settings) -> None:
        """What the daemon itself does by the settings; no process is touched."""
        self.settings = settings
        self._scheduler.sync(settings.job, settings.retaild.timezone)
        self._runner.use(settings.job)
        self._alerting.configure(settings)
        self._supervisor.hung_seconds = settings.retaild.hung_seconds
        logging.getLogger().setLevel(settings.retaild.log_level.upper())

    async def _report_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self._supervisor.all_running() and time.monotonic() < until:
            await asyncio.sleep(0.1)
        self._phase = "running"
        notify(f"READY=1\nSTATUS=Serving {api_url(self.settings)}")
        _log.info("ready after %.1f s", time.time() - self._since)

    async def _stop_all(self) -> None:
        began = time.monotonic()
        self._phase = "stopping"
        notify("STOPPING=1")
        _log.info("stopping")
        await self._reloader.stop()
        self._scheduler.stop()
        await asyncio.gather(self._runner.stop(), self._supervisor.stop())
        self._running.door.close()
        await self._control.stop()
        _log.info("stopped in %.1f s", time.monotonic() - began)

    def _due(self, job: str) -> None:
        """A scheduled job's time has come; one that still runs simply goes on."""
        try:
            self._runner.request(job, {}, "schedule")
        except JobBusyError as error:
            _log.info("not started again: %s", error.message)
        except Exception:
            _log.exception("scheduled job %s", job)

    def _hang_up(self) -> None:
        self._reloader.begin_or_repeat("retaild", "signal")

    async def _watch_files(self) -> None:
        """Reload by itself when files change, while `retaild.reload_on_change` says so."""
        async for _ in watch_files(self.config, lambda: self.settings.retaild.reload_on_change):
            self._reloader.begin_or_repeat("retaild", "changed files")

    # -- commands --------------------------------------------------------------------------------

    def _status(self, _: Message) -> Message:
        return {
            "daemon": daemon_facts(self.data, self.config, self._since, self._phase),
            "api": api_facts(self.settings),
            "workers": worker_facts(self._state),
            "jobs": job_facts(self.settings, self._state, self._scheduler.next_runs()),
            "running": self._state.runs(state="running"),
            "queued": self._state.runs(state="queued"),
            "sources": self._state.sources(),
        }

    def _run_job(self, message: Message) -> Message:
        arguments = {str(k): str(v) for k, v in message.get("arguments", {}).items()}
        job, trigger = str(message["job"]), str(message.get("trigger", "person"))
        return {"run_id": self._runner.request(job, arguments, trigger)}

    def _restart_worker(self, message: Message) -> Message:
        self._supervisor.restart(str(message["worker"]))
        return {"worker": message["worker"]}

    async def _reset_source(self, message: Message) -> Message:
        """Also of a source that is not configured any more. Raises ReloadRunningError.

        `before`: the position it had.
        """
        name = str(message["source"])
        worker = process_name("source", name)
        before: dict[str, Any] | None = None

        async def forget() -> None:
            # What it had sent is written down by then, or its loss noticed: nothing comes after.
            nonlocal before
            await asyncio.sleep(RESET_SECONDS)
            before = self._state.forget_source_position(name)

        async with self._reloader.alone():
            if worker in self._supervisor.names():
                await self._supervisor.apart(worker, forget)
            else:
                before = self._state.forget_source_position(name)
        return {"source": name, "before": before}

    def _reload(self, message: Message) -> Message:
        by, via = str(message.get("by") or "system"), str(message.get("via") or "command")
        return {"reload": self._reloader.begin(by, via).message()}

    def _stop_asked(self, _: Message) -> Message:
        # Answer first, then go.
        asyncio.get_running_loop().call_later(0.05, self._stop.set)
        return {"stopping": True, "pid": os.getpid()}


def _from_thread(
    loop: asyncio.AbstractEventLoop, function: Callable[[str], None], job: str
) -> None:
    with suppress(RuntimeError):  # the loop has ended: the schedule on disk makes up for it
        loop.call_soon_threadsafe(function, job)


async def _watchdog() -> None:
    """That this coroutine gets its turn is the proof that the daemon is alive."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)


def _log_to_file(data: DataDir) -> None:
    """What goes to standard error (the journal) is also kept where the pages can show it."""
    with suppress(OSError):
        handler = logging.handlers.RotatingFileHandler(
            data.worker_log("daemon"), maxBytes=logs.MAX_BYTES, backupCount=logs.KEEP
        )
        handler.setFormatter(logs.UtcFormatter())
        logging.getLogger().addHandler(handler)
