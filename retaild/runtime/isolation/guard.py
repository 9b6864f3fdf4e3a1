"""One plugin instance over all its processes: may it start, did it behave, what follows now."""

from __future__ import annotations

import logging
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.component.exits import EXIT_CONFIG, EXIT_TEMPORARY, EXIT_TOLD
from retaild.runtime.instances import HOST, Held, InstanceStore
from retaild.runtime.isolation.family import Table
from retaild.runtime.isolation.server import ForkedChild, ForkServer
from retaild.runtime.isolation.watch import Watch
from retaild.runtime.plans import Hosting, Isolated, WorkerPlan
from retaild.runtime.state import Row

_log = logging.getLogger(__name__)

#: What it depends on may be away for so long (seconds) before others are told.
UNREACHABLE_SECONDS = 300.0

Next = Literal["retry", "quarantined", "left out", "fatal"]


@dataclass
class Guard:
    """Used by the supervisor, in its loop."""

    plan: WorkerPlan
    how: Isolated | Hosting
    store: InstanceStore
    #: It was open once since this plan is in force.
    opened: bool = False
    #: Left out by `startup = "ignore"`, until somebody asks for it.
    left_out: bool = False
    reason: str = ""
    #: It ran, and failed, since this plan is in force.
    _judged: bool = False
    _unreachable_since: float | None = None
    #: None: the daemon before this one may have told it.
    _told: bool | None = None

    @property
    def _id(self) -> tuple[str, str]:
        return self.plan.kind, self.how.instance

    def held(self) -> Held:
        """Its standing; a state that cannot be read holds nobody."""
        try:
            return self.store.held(*self._id)
        except sqlite3.Error as error:
            _log.error("cannot read the standing of %s: %s", self.plan.name, error)
            return Held()

    @property
    def is_held(self) -> bool:
        return bool(self.holds()[0])

    def holds(self) -> tuple[str, str]:
        """The state that keeps it from running, and why; ("", "") if nothing does."""
        if self.left_out:
            return "left out", self.reason
        held = self.held()
        if held.standing == "enabled" or self._tries_again(held):
            return "", ""
        return held.standing, held.reason

    def _tries_again(self, held: Held) -> bool:
        """Settings may have been changed while the daemon was away; if not, it says so at once."""
        return held.cause == "config" and not self._judged

    def forgive(self, old_fingerprint: str) -> Held | None:
        """Before a new plan: let out what the host itself had put into quarantine.

        What held it, for `hold_again`; None if nothing was changed.
        """
        held = self.held()
        changed = self.plan.fingerprint != old_fingerprint
        if held.standing != "quarantined" or held.by_person or not changed:
            return None
        self._try(lambda: self.store.resume(*self._id, HOST, "host"))
        return held

    def hold_again(self, held: Held) -> None:
        """The new plan was no better."""
        cause: Literal["config", "failures"] = "config" if held.cause == "config" else "failures"
        self._quarantine(held.reason, cause, list(held.lines))

    def settled(self) -> None:
        """It works: what it depends on is there."""
        self._unreachable_since = None
        if self._told is not False:
            self._told = False
            self._try(lambda: resolve_alert(self.store.state, self._key))

    def after(self, code: int, reason: str, lines: list[str], *, breach: bool) -> Next:
        """What to do with one that ended by itself, or was ended by us for a breach."""
        self.reason, self._judged = reason, True
        if code == EXIT_TEMPORARY:
            self._unreachable(reason)
        if not self.opened and self.how.startup == "error":
            return "fatal"
        if not self.opened and self.how.startup == "ignore":
            self.left_out = True
            return "left out"
        if code == EXIT_TEMPORARY:
            return "retry"
        if code == EXIT_CONFIG:
            return self._quarantine(reason, "config", lines)
        limits = self.how.limits
        count = self._try(lambda: self.store.failed(*self._id, reason, limits.window_seconds))
        if count is None or count < limits.failures:
            return "retry"
        told = f"{count} failures within {limits.window_seconds:g} s, the last: {reason}"
        return self._quarantine(told, "failures", lines)

    def _quarantine(self, reason: str, cause: Literal["config", "failures"], lines: list[str]
                    ) -> Next:  # fmt: skip
        self._try(lambda: self.store.put_into_quarantine(*self._id, reason, cause, lines))
        return "quarantined"

    def _unreachable(self, reason: str) -> None:
        now = time.monotonic()
        self._unreachable_since = self._unreachable_since or now
        if now - self._unreachable_since >= UNREACHABLE_SECONDS:
            self._told = True
            self._try(lambda: raise_alert(
                self.store.state, self._key, "warning",
                f"{self.plan.name} cannot reach what it needs: {reason}",
                source="instance", hint="It is tried again until it works.",
            ))  # fmt: skip

    @property
    def _key(self) -> str:
        return f"instance.{self.plan.name}.unreachable"

    def _try(self, write: Callable[[], Any]) -> Any:
        try:
            return write()
        except sqlite3.Error as error:  # a full disk must not end the supervision
            _log.error("cannot write down what became of %s: %s", self.plan.name, error)
            return None


@dataclass(kw_only=True)
class ComponentGuard(Guard):
    """Of a component, which has a process of its own."""

    how: Isolated
    server: ForkServer
    watch: Watch | None = None

    async def spawn(self, ready: Callable[[], None]) -> ForkedChild:
        """Raises OSError."""

        self.watch = None

        def opened() -> None:
            self.opened = True
            if self.watch is not None:
                self.watch.open()
            ready()

        rate = self.how.limits.log_bytes_per_second
        child = await self.server.fork(self.how.order, rate, opened)
        # Now, not before: the server may have been preloading still.
        self.watch = Watch(child.pid, self.how.limits)
        return child

    def breach(self, table: Table, row: Row) -> str | None:
        if self.watch is None:
            return None
        return self.watch.breach(table, row["beat"], row["figures"])

    def after(self, code: int, reason: str, lines: list[str], *, breach: bool) -> Next:
        self.watch = None
        return super().after(code, reason, lines, breach=breach)


@dataclass
class HostGuard(Guard):
    """Of a worker whose work a plugin is.

    Without it nothing goes on behind it, so it is held only for what a plugin does wrong: it
    crashed, raised what nobody foresaw, hung, or took too much. What it says in words (an engine or
    a broker that is away, a disk that is full, a password, a lake older than its log) others mend,
    and then it shall go on by itself; so shall one that was killed from outside, by a person or by
    the kernel for want of memory.
    """

    def after(self, code: int, reason: str, lines: list[str], *, breach: bool) -> Next:
        if code in (EXIT_CONFIG, EXIT_TOLD) or (code == -signal.SIGKILL and not breach):
            return "retry"
        return super().after(code, reason, lines, breach=breach)


def guard_of(plan: WorkerPlan, store: InstanceStore, server: ForkServer) -> Guard | None:
    """None: what ends is started again, whatever it did."""
    if plan.isolated is not None:
        return ComponentGuard(plan=plan, how=plan.isolated, store=store, server=server)
    if plan.hosting is not None and plan.hosting.quarantines:
        return HostGuard(plan, plan.hosting, store)
    return None
