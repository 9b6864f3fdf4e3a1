"""One worker over all its processes, as the supervisor knows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from retaild.runtime.backoff import Backoff
from retaild.runtime.component.exits import EXIT_CONFIG, EXIT_TEMPORARY
from retaild.runtime.isolation.guard import Guard
from retaild.runtime.isolation.server import ForkedChild
from retaild.runtime.isolation.watch import Bounds
from retaild.runtime.plans import WorkerPlan
from retaild.runtime.process import Child

#: States of a plugin that is not started, until a person or a reload changes that.
HELD_STATES = ("disabled", "quarantined", "left out")
#: What has ended so many times before it worked at all is not waited for any longer.
HOPELESS = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a new process does not work, and the last lines of its log."""

    reason: str
    lines: tuple[str, ...] = ()


@dataclass
class Kept:
    """A worker as it is now; changed by the supervisor alone."""

    plan: WorkerPlan
    backoff: Backoff
    state: str = "starting"
    child: Child | ForkedChild | None = None
    #: What watches over it, if what it does wrong is a plugin's fault.
    guard: Guard | None = None
    #: What its present process may take, if it is a worker.
    bounds: Bounds | None = None
    #: When its process was started: for people, and by a clock that nobody sets.
    since: float = 0.0
    began: float = 0.0
    restarts: int = 0
    #: How its last process ended, if not by somebody's wish: its code, and why.
    code: int | None = None
    error: str = ""
    #: The newest sign of life under its name, and when this process saw it change (monotonic).
    beat: float | None = None
    beat_seen: float = 0.0
    #: Why we ended it ourselves, if we did; and whether that was somebody's wish, not its fault.
    ended_because: str = ""
    wished: bool = False
    #: A process that was started already, beside the one before it.
    adopted: Child | None = None
    #: It is not kept any longer; its row in the state is somebody else's, or nobody's.
    leaving: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)


def hopeless(worker: Kept) -> str:
    """What it depends on may come back; wrong settings do not mend themselves."""
    error = worker.error.rstrip(".")
    if worker.state in HELD_STATES:
        held = worker.guard.holds()[1].rstrip(".") if worker.guard is not None else ""
        return f"it is {worker.state}" + (f" ({held})" if held else "")
    if worker.state == "running" or worker.code in (None, EXIT_TEMPORARY):
        return ""
    if worker.code == EXIT_CONFIG:
        return error
    return f"it ended {worker.restarts} times: {error}" if worker.restarts >= HOPELESS else ""
