"""From the processes that run to those that shall run, and back again if they do not work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime import logs
from retaild.runtime.component import instance_of
from retaild.runtime.state import Row, State
from retaild.runtime.supervisor import Failure, WorkerPlan

_log = logging.getLogger(__name__)

#: After the last one has started, all must go on working for so long: what opens well may still
#: die of its first input.
SETTLE_SECONDS = 1.5
_LOOK = 0.1
#: The order of changes. The lake's writer first, for it takes what the log keeps for it anyway;
#: the hub before its sources; the server last, when all that it asks is there.
_ORDER = ("stream", "ingest", "source", "alert", "identity", "serve")
#: A process works when it reports this figure: these report sooner that they live.
_WORKING = {"service": ("answers", "yes"), "stream": ("offset", None), "serve": ("ready", "yes")}
_HELD = ("quarantined", "disabled")
#: So many lines of its log are shown of what did not work.
_LOG_LINES = 10


class Topology(Protocol):
    """The supervisor, as far as a change of processes needs it."""

    def plans(self) -> dict[str, WorkerPlan]: ...

    async def add(self, plan: WorkerPlan) -> None: ...

    async def remove(self, name: str) -> None: ...

    async def replace(
        self, plan: WorkerPlan, *, ready_seconds: float, first_seconds: float = 0.0,
        keep: bool = False,
    ) -> Failure | None: ...  # fmt: skip

    async def swap(self, plan: WorkerPlan, *, ready_seconds: float) -> Failure | None: ...

    def hopeless(self, name: str) -> str: ...

    def try_left_out(self) -> None: ...


class NotWorkingError(RetaildError):
    """`lines`: the last of its log."""

    key = "reload.not_working"

    def __init__(self, name: str, failure: Failure) -> None:
        super().__init__(
            f"{name} does not work with the new configuration: {failure.reason.rstrip('.')}.",
            hint=f"See `retaildctl logs {name}`; everything is as it was before.",
        )
        self.name, self.lines = name, list(failure.lines)


@dataclass(frozen=True, slots=True)
class Touched:
    """Names of processes, by what happens to them."""

    started: tuple[str, ...]
    stopped: tuple[str, ...]
    replaced: tuple[str, ...]
    untouched: tuple[str, ...]

    @classmethod
    def between(cls, old: Mapping[str, WorkerPlan], new: Mapping[str, WorkerPlan]) -> Touched:
        both = [name for name in new if name in old]
        same = [name for name in both if old[name].fingerprint == new[name].fingerprint]
        return cls(
            started=tuple(name for name in new if name not in old),
            stopped=tuple(name for name in old if name not in new),
            replaced=tuple(name for name in both if name not in same),
            untouched=tuple(same),
        )

    def __bool__(self) -> bool:
        return bool(self.started or self.stopped or self.replaced)


Undo = Callable[[], Awaitable[object]]


@dataclass
class Transition:
    """`carry_out()`, and `go_back()` if it raised. Runs in the daemon's loop."""

    supervisor: Topology
    state: State
    data: DataDir
    new: Mapping[str, WorkerPlan]
    touched: Touched
    #: Names of instances that may stay broken: `startup = "ignore"`.
    tolerated: frozenset[str]
    ready_seconds: float
    say: Callable[[str], None]
    _undo: list[tuple[str, Undo]] = field(default_factory=list)

    async def carry_out(self) -> None:
        """Raises NotWorkingError; what was changed by then is still changed."""
        old = self.supervisor.plans()
        for name in _sorted(self.touched.stopped, old):
            self.say(f"{name}: stopping")
            await self.supervisor.remove(name)
            self._undo.append((name, lambda plan=old[name]: self.supervisor.add(plan)))  # type: ignore[misc]
        brought: list[str] = []
        # Who needs a service is changed when it answers: Java takes its time.
        for services in (True, False):
            brought += await self._bring(old, services=services)
            await self._all_work(brought)

    async def _bring(self, old: Mapping[str, WorkerPlan], *, services: bool) -> list[str]:
        """Replace and start the services, or all others; their names."""

        def chosen(names: Iterable[str]) -> list[str]:
            own = (name for name in names if (self.new[name].kind == "service") is services)
            return _sorted(own, self.new)

        replaced, started = chosen(self.touched.replaced), chosen(self.touched.started)
        for name in replaced:
            await self._replace(old[name], self.new[name])
        for name in started:
            self.say(f"{name}: starting")
            await self.supervisor.add(self.new[name])
            self._undo.append((name, lambda name=name: self.supervisor.remove(name)))  # type: ignore[misc]
        return [*started, *replaced]

    async def _replace(self, old: WorkerPlan, new: WorkerPlan) -> None:
        self.say(f"{new.name}: {'handing over' if new.kind == 'serve' else 'replacing'}")
        failure = await self._change(new)
        if failure is not None and new.name not in self.tolerated:
            raise NotWorkingError(new.name, failure)
        self._undo.append((new.name, lambda: self._change(old)))

    async def _change(self, plan: WorkerPlan) -> Failure | None:
        seconds = self.ready_seconds
        if plan.kind == "serve":
            return await self.supervisor.swap(plan, ready_seconds=seconds)
        return await self.supervisor.replace(
            plan, ready_seconds=seconds, first_seconds=_first_seconds(plan),
            keep=plan.name in self.tolerated,
        )  # fmt: skip

    async def _all_work(self, names: Iterable[str]) -> None:
        watched = [name for name in names if name not in self.tolerated]
        asked = time.monotonic()
        began: dict[str, Row] = {}
        for name in watched:
            self.say(f"{name}: waiting until it works")
            while name not in began:
                row = self._row(name)
                if _works(row) or self._held_by_a_person(row):
                    began[name] = row
                elif reason := self.supervisor.hopeless(name):
                    raise self._broken(name, reason)
                elif time.monotonic() > asked + (allowed := self._allowed(name, row)):
                    within = f"within {allowed:g} s"
                    raise self._broken(name, f"it did not work {within}: {_reason(row)}")
                else:
                    await asyncio.sleep(_LOOK)
        await self._stay(began)

    def _allowed(self, name: str, row: Row) -> float:
        first = 0.0 if row.get("last_error") else _first_seconds(self.new[name])
        return max(self.ready_seconds, first)

    async def _stay(self, began: Mapping[str, Row]) -> None:
        settled = time.monotonic() + (SETTLE_SECONDS if began else 0.0)
        while time.monotonic() < settled:
            await asyncio.sleep(_LOOK)
            for name, row in began.items():
                now = self._row(name)
                if (now.get("pid"), now.get("state")) != (row["pid"], row["state"]):
                    raise self._broken(name, _reason(now))

    def _held_by_a_person(self, row: Row) -> bool:
        """Whether somebody wants it not to run: then it need not work."""
        kind, instance = instance_of(str(row.get("name", "")))
        sql = "SELECT state, by FROM instance WHERE kind = ? AND name = ?"
        held = self.state.row(sql, [kind, instance]) if row.get("state") in _HELD else None
        return held is not None and held["state"] != "enabled" and held["by"] != "retaild"

    def _row(self, name: str) -> Row:
        return next((row for row in self.state.workers() if row["name"] == name), {})

    def _broken(self, name: str, reason: str) -> NotWorkingError:
        lines = logs.tail(self.data.worker_log(name), _LOG_LINES)
        return NotWorkingError(name, Failure(reason, tuple(lines)))

    async def go_back(self) -> list[str]:
        """Undo in reverse; what could not be undone, in words."""
        failed = []
        for name, undo in reversed(self._undo):
            self.say(f"{name}: back to what it was")
            try:
                failure = await undo()
                if isinstance(failure, Failure) and name not in self.tolerated:
                    reason = failure.reason.rstrip(".")
                    failed.append(f"{name} does not work with the old one either: {reason}")
            except Exception as error:  # the others must go back all the same
                _log.exception("taking %s back", name)
                failed.append(f"{name}: {error}")
        return failed


def _sorted(names: Iterable[str], plans: Mapping[str, WorkerPlan]) -> list[str]:
    order = {kind: place for place, kind in enumerate(_ORDER)}
    return sorted(names, key=lambda name: (order.get(plans[name].kind, -1), name))


def _first_seconds(plan: WorkerPlan) -> float:
    """A service may take as long as its limit says until it works for the first time: a server
    takes minutes on a small machine. One that has failed gets no more than others."""
    services = plan.isolated if plan.kind == "service" else None
    return services.limits.open_seconds if services else 0.0


def _works(row: Row) -> bool:
    figure, wanted = _WORKING.get(row.get("kind", ""), ("", None))
    found = (row.get("figures") or {}).get(figure)
    reported = not figure or (found is not None and (wanted is None or found == wanted))
    return row.get("state") == "running" and reported


def _reason(row: Row) -> str:
    state = row.get("state") or "not there"
    error = str(row.get("last_error") or "").rstrip(".")
    return f"it is {state}" + (f" ({error})" if error else "")
