"""What a family of processes may not do, and what becomes of one that only burns the processor."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from retaild.config.sections import LimitsSection
from retaild.runtime.isolation import family

_MIB = 1024 * 1024
#: Over so many seconds a component is judged by its use of the processor, ...
SPIN_SECONDS = 10.0
#: ... that it had or waited for: as runaway from so much of one core on without its figures
#: changing, as calm below that.
SPIN_SHARE, CALM_SHARE = 0.8, 0.4
#: Ended children that were never asked about take a place in the process table each.
MAX_ZOMBIES = 512


@dataclass
class Bounds:
    """What one process and its children may take, from its start to its end."""

    pid: int
    limits: LimitsSection
    memory_bytes: int = 0
    processes: int = 1

    def excess(self, look: family.Look) -> str | None:
        """Why it must end, in a sentence; None if all is well."""
        return self._too_many(look) or self._too_much(look)

    def _too_many(self, look: family.Look) -> str | None:
        self.processes = len(look.processes)
        if self.processes > self.limits.processes:
            return f"it had {self.processes} processes, {self.limits.processes} are allowed"
        if look.zombies > MAX_ZOMBIES:
            return f"it left {look.zombies} ended processes unattended"
        return None

    def _too_much(self, look: family.Look) -> str | None:
        """Walks the pages only of one that could be over its limit."""
        allowed = self.limits.memory_mib * _MIB
        self.memory_bytes = look.resident_bytes
        if look.resident_bytes > allowed:
            self.memory_bytes = family.own_bytes(look.processes)
        if self.memory_bytes > allowed:
            used = self.memory_bytes / _MIB
            return f"it used {used:.0f} MiB of memory, {self.limits.memory_mib} MiB are allowed"
        return None


@dataclass
class Watch(Bounds):
    """Looks at one process of a component, from its start to its end."""

    opened: bool = False
    idle: bool = False
    _beat: float | None = None
    _beat_seen: float = field(default_factory=time.monotonic)
    _figures: Any = None
    _cpu: float = 0.0
    _wanted: float = 0.0
    _cpu_since: float = field(default_factory=time.monotonic)
    _progress: bool = False

    def breach(self, table: family.Table, beat: float | None, figures: Any) -> str | None:
        """Why it must end, in a sentence; None if all is well."""
        look = table.look(self.pid)
        now = time.monotonic()
        self._note(beat, figures, now)
        self._mind_processor(look, now)
        return self._hung(now) or self.excess(look)

    def _note(self, beat: float | None, figures: Any, now: float) -> None:
        """Its clock is compared with nothing: what counts is that the beat changes."""
        if beat != self._beat:
            self._beat, self._beat_seen = beat, now
        if figures != self._figures:
            self._figures, self._progress = figures, True

    def open(self) -> None:
        self.opened, self._beat_seen = True, time.monotonic()

    def _hung(self, now: float) -> str | None:
        silent = now - self._beat_seen
        if not self.opened:
            allowed = self.limits.open_seconds
            return f"it was not open after {allowed:g} s" if silent > allowed else None
        allowed = self.limits.hung_seconds
        return f"it hung: a call took longer than {allowed:g} s" if silent > allowed else None

    def _mind_processor(self, look: family.Look, now: float) -> None:
        passed = now - self._cpu_since
        if passed < SPIN_SECONDS:
            return
        wanted = family.wanted_seconds(look.processes)
        # What ended takes its seconds with it.
        share = max(0.0, look.cpu_seconds - self._cpu, wanted - self._wanted) / passed
        if share > SPIN_SHARE and not self._progress and not self.idle:
            self.idle = True
            family.set_idle(look.processes, True)
        elif self.idle and share < CALM_SHARE:
            # Where it may not be raised again, it stays low until its next start.
            self.idle = not family.set_idle(look.processes, False)
        self._cpu, self._wanted = look.cpu_seconds, wanted
        self._cpu_since, self._progress = now, False
