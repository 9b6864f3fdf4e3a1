"""Transactional reload: read and check, compare, probe beside the old, change over, or go back.

One at a time. Nothing is touched before the whole configuration was checked and every new or
changed component was built and asked whether it would work; and whatever does not work then takes
everything back to the plans, and to the configuration, of before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.active import Active, ActiveStore
from retaild.config.diff import Change, differences
from retaild.config.faults import Fault
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.daemon.probing import ProbeFailedError, probe_all
from retaild.daemon.proposal import Proposal, propose, unreloadable
from retaild.daemon.running import Running
from retaild.daemon.transition import NotWorkingError, Topology, Touched, Transition
from retaild.runtime.access.audit import record
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.control import Message
from retaild.runtime.state import State
from retaild.runtime.supervisor import WorkerPlan

_log = logging.getLogger(__name__)

ALERT = "reload.failed"
#: So many changed settings stand in the audit log, from what to what; secrets are hidden in them.
_SHOWN_CHANGES = 200


class ReloadRunningError(RetaildError):
    key = "reload.busy"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"A reload (number {number}) is under way.",
            hint="Wait until it is done (`retaildctl status` says when), then ask again.",
        )


@dataclass
class Reload:
    """One reload as people see it.

    `state`: running, unchanged, done, refused (faults: nothing was touched), returned (something
    did not work: all is as before), failed (and could not be taken back).
    """

    id: int
    by: str
    via: str
    started: float = field(default_factory=time.time)
    state: str = "running"
    finished: float | None = None
    number: int | None = None
    step: str = "reading and checking the configuration"
    error: str = ""
    hint: str = ""
    log: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    touched: Touched | None = None
    steps: list[tuple[float, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.step = text
        self.steps.append((round(time.time() - self.started, 3), text))
        _log.info("reload %d: %s", self.id, text)

    def message(self) -> Message:
        seconds = (self.finished or time.time()) - self.started
        return {**asdict(self), "seconds": round(seconds, 3)}


class Reloader:
    """Called in the daemon's loop. `running` is what is in force, and is changed by it."""

    def __init__(
        self,
        data: DataDir,
        config: Path | None,
        state: State,
        supervisor: Topology,
        running: Running,
        apply: Callable[[Settings], None],
    ) -> None:
        self._data, self._config, self._state = data, config, state
        self._supervisor, self._running, self._apply = supervisor, running, apply
        self._store = ActiveStore(data)
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._last: Reload | None = None
        self._again: tuple[str, str] | None = None

    # -- asked by people and signals ---------------------------------------------------------------

    def begin(self, by: str, via: str) -> Reload:
        """Start one; raises ReloadRunningError."""
        if self._task is not None and self._last is not None:
            raise ReloadRunningError(self._last.id)
        reload = Reload((self._last.id if self._last else 0) + 1, by, via)
        self._last = reload
        self._task = asyncio.get_running_loop().create_task(self._run(reload), name="reload")
        return reload

    def begin_or_repeat(self, by: str, via: str) -> None:
        """For a signal, which nobody can refuse: while one is under way, once more after it."""
        try:
            self.begin(by, via)
        except ReloadRunningError:
            self._again = (by, via)

    def last(self) -> Message | None:
        return self._last.message() if self._last else None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """While no reload runs, nor begins to. Raises ReloadRunningError."""
        if self._task is not None and self._last is not None:
            raise ReloadRunningError(self._last.id)
        async with self._reading:
            yield

    async def stop(self) -> None:
        """Break off what is under way: the next start reads the files anyway."""
        self._again = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def diff(self) -> Message:
        """What a reload would do now; nothing is changed. Raises CheckFailedError."""
        async with self._reading:
            proposal = await self._propose()
            try:
                changes, touched = self._compare(proposal)
            finally:
                self._store.discard(proposal.number)
        facts = asdict(touched) if touched else None
        return {
            "faults": [asdict(fault) for fault in proposal.faults],
            "changes": [asdict(change) for change in changes],
            "touched": facts,
            "active": self._running.active.facts(),
        }

    # -- the work ----------------------------------------------------------------------------------

    async def _run(self, reload: Reload) -> None:
        began_with = self._running.active
        try:
            await self._work(reload)
        except asyncio.CancelledError:
            reload.state, reload.error = "failed", "The daemon was stopped meanwhile."
            raise
        except RetaildError as error:
            reload.state, reload.error, reload.hint = "refused", error.message, error.hint
        except Exception as error:
            _log.exception("reload %d", reload.id)
            reload.state, reload.error = "failed", f"{type(error).__name__}: {error}"
        finally:
            reload.finished = time.time()
            self._task = None
        self._tell(reload, began_with)
        if self._again is not None:
            again, self._again = self._again, None
            self.begin(*again)

    async def _work(self, reload: Reload) -> None:
        async with self._reading:
            proposal = await self._propose()
            kept = False
            try:
                kept = await self._consider(reload, proposal)
            finally:
                if not kept:
                    self._store.discard(proposal.number)
                plans = self._supervisor.plans().values()
                self._store.prune({file for plan in plans for file in plan.files})

    async def _consider(self, reload: Reload, proposal: Proposal) -> bool:
        """True if the proposal is in force now."""
        reload.faults = proposal.faults
        if proposal.settings is None or proposal.errors:
            reload.state, reload.error = "refused", _refusal(proposal.errors)
            reload.hint = "Mend the configuration; nothing was touched."
            return False
        reload.changes, reload.touched = self._compare(proposal)
        if not reload.changes and not reload.touched:
            reload.state = "unchanged"
            self._supervisor.try_left_out()
            return False
        with self._running.door_for(proposal.settings, proposal.active) as door:
            return await self._change_over(reload, proposal, proposal.settings, door)

    async def _change_over(
        self, reload: Reload, proposal: Proposal, settings: Settings, door: Any
    ) -> bool:
        assert reload.touched is not None
        new = self._running.basis(settings, proposal, door.number).plans()
        seconds = settings.retaild.reload_seconds
        names = [*reload.touched.started, *reload.touched.replaced]
        await self._probe([new[name] for name in names], settings, proposal.file, reload)
        transition = Transition(
            self._supervisor, self._state, self._data, new, reload.touched,
            tolerated(settings), seconds, reload.say,
        )  # fmt: skip
        try:
            await transition.carry_out()
            self._apply(settings)
        except Exception as error:
            await self._go_back(reload, transition, error)
            return False
        why = f"reload by {reload.by} ({reload.via})"
        active = self._store.activate(proposal.active, proposal.number, why, reload.by)
        self._running.take(active, settings, proposal, door)
        self._supervisor.try_left_out()
        reload.state, reload.number = "done", active.number
        return True

    async def _probe(
        self, plans: Sequence[WorkerPlan], settings: Settings, config: Path, reload: Reload
    ) -> None:
        """Raises ProbeFailedError: the first, where several would not work."""
        try:
            await probe_all(plans, settings, config, self._data, reload.say)
        except* ProbeFailedError as failed:
            raise failed.exceptions[0] from None

    async def _go_back(self, reload: Reload, transition: Transition, error: Exception) -> None:
        reload.error = error.message if isinstance(error, RetaildError) else repr(error)
        reload.hint = error.hint if isinstance(error, RetaildError) else ""
        reload.log = error.lines if isinstance(error, NotWorkingError) else []
        failed = await transition.go_back()
        self._apply(self._running.settings)
        reload.state = "failed" if failed else "returned"
        reload.error = " ".join([reload.error, *(f"{text}." for text in failed)])

    async def _propose(self) -> Proposal:
        proposal = await propose(self._config, self._data, self._store, listening=True)
        old, before = self._running.active, self._running.settings
        extra = tuple(unreloadable(old, proposal.active, before, proposal.settings))
        return Proposal(**{**vars(proposal), "extra": extra})

    def _compare(self, proposal: Proposal) -> tuple[list[Change], Touched | None]:
        if proposal.settings is None:
            return [], None
        basis = self._running.basis(proposal.settings, proposal, self._running.door.number)
        secrets = [p for p, d in basis.secrets.items() if self._running.secrets.get(p, d) != d]
        was, document = self._running.active.document(), proposal.active.document()
        changes = differences(self._running.settings, proposal.settings, was, document, secrets)
        return changes, Touched.between(self._supervisor.plans(), basis.plans())

    def _tell(self, reload: Reload, before: Active) -> None:
        """To the log, the audit, and whoever hears of alerts."""
        _log.info("reload %d by %s: %s %s", reload.id, reload.by, reload.state, reload.error)
        bad = reload.state in ("refused", "returned", "failed")
        shown = reload.changes[:_SHOWN_CHANGES]
        record(
            self._state, reload.by, "config.reload", f"configuration {before.number}",
            via=reload.via,
            before={**before.facts(), "settings": {one.path: one.before for one in shown}},
            after={
                "state": reload.state, "number": reload.number, "error": reload.error,
                "changes": len(reload.changes),
                "settings": {one.path: one.after for one in shown},
            },
        )  # fmt: skip
        if bad:
            raise_alert(
                self._state, ALERT, "critical" if reload.state == "failed" else "warning",
                f"A reload of the configuration was {reload.state}: {reload.error}",
                source="reload", hint=reload.hint, details={"by": reload.by},
            )  # fmt: skip
        else:
            resolve_alert(self._state, ALERT)


def tolerated(settings: Settings) -> frozenset[str]:
    """Processes whose instance may stay broken: `startup = "ignore"`."""
    return frozenset(
        f"{kind}.{name}" for kind, name, one in settings.instances() if one.startup == "ignore"
    )


def _refusal(errors: list[Fault]) -> str:
    count = "a fault" if len(errors) == 1 else f"{len(errors)} faults"
    return f"The configuration has {count}: {'; '.join(map(str, errors[:3]))}"
