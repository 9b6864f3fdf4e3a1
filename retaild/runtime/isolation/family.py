"""A process and all that it started, as the kernel sees them. Linux only.

A process may be gone at any moment: then it simply counts for nothing.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retaild.runtime.priority import COMPONENT

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Shared pages are split among those who share them (the preloaded ones are nearly free), a
#: component's with its own children are not counted twice, and pages of files, which the kernel
#: can drop, are left out. Kernels before 5.2 know only the sum.
_OWN = re.compile(rb"^(Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+) kB", re.MULTILINE)
_SUM = re.compile(rb"^(Pss|SwapPss):\s+(\d+) kB", re.MULTILINE)


class Process(NamedTuple):
    """A line of the process table."""

    pid: int
    parent: int
    ended: bool
    cpu_seconds: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a family takes. `resident_bytes` counts shared pages in full: never too little."""

    processes: tuple[int, ...]
    resident_bytes: int
    cpu_seconds: float
    #: Ended processes that their parent has not asked about yet.
    zombies: int = 0


class Table:
    """Every process at one moment. Reading it costs some ten microseconds a process."""

    def __init__(self) -> None:
        self._children: dict[int, list[Process]] = {}
        self._processes: dict[int, Process] = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and (process := _read(int(name))) is not None:
                self._processes[process.pid] = process
                self._children.setdefault(process.parent, []).append(process)

    def children(self, pid: int) -> list[int]:
        return [process.pid for process in self._children.get(pid, ())]

    def members(self, pid: int) -> Iterator[Process]:
        """`pid` and its descendants; parents before their children."""
        waiting = [self._processes[pid]] if pid in self._processes else []
        while waiting:
            process = waiting.pop()
            yield process
            waiting += self._children.get(process.pid, ())

    def look(self, pid: int) -> Look:
        family = list(self.members(pid))
        living = [process for process in family if not process.ended]
        return Look(
            tuple(process.pid for process in living),
            sum(process.resident_bytes for process in living),
            sum(process.cpu_seconds for process in family),
            len(family) - len(living),
        )


def _read(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    # utime, stime, and those of the children that it has waited for.
    ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    ended = fields[0] in (b"Z", b"X")
    return Process(pid, int(fields[1]), ended, ticks / _TICKS, int(fields[21]) * _PAGE)


def own_bytes(pids: Iterable[int]) -> int:
    """Memory that would be free without these processes: exact, but it walks their pages."""
    return sum(_own(pid) for pid in pids)


def _own(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        return 0
    found = _OWN.findall(text)
    if not any(name == b"Pss_Anon" for name, _ in found):
        found = _SUM.findall(text)
    return sum(int(number) for _, number in found) * 1024


def wanted_seconds(pids: Iterable[int]) -> float:
    """Processor time that their threads had or waited for: not less on a machine that is busy."""
    return sum(
        _wanted(Path(f"/proc/{pid}/task/{thread}/schedstat"))
        for pid in pids
        for thread in _threads(pid)
    )


def _wanted(path: Path) -> float:
    try:
        ran, waited, _ = path.read_bytes().split()
    except (OSError, ValueError):  # gone, or a kernel that does not count
        return 0.0
    return (int(ran) + int(waited)) / 1e9


def kill_strays(parent: int, known: Iterable[int]) -> bool:
    """Kill all children of `parent` but the known ones, with all that they started.

    They are stopped first, also while they go on forking: what stands still starts nothing new.
    False if there were none.
    """
    spared, stopped = set(known), set[int]()
    while True:
        table = Table()
        roots = [pid for pid in table.children(parent) if pid not in spared]
        found = {one.pid for root in roots for one in table.members(root) if not one.ended}
        if not found - stopped:
            break
        for pid in found - stopped:
            _send(pid, signal.SIGSTOP)
        stopped |= found
    for pid in stopped:
        _send(pid, signal.SIGKILL)
    return bool(stopped)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def set_idle(pids: Iterable[int], idle: bool) -> bool:
    """Let processes run only when nobody else wants the processor, or normally again.

    False if some could not be changed: without privileges only the way down is open.
    """
    policy = os.SCHED_IDLE if idle else os.SCHED_OTHER
    done = True
    for pid in pids:
        for thread in _threads(pid):
            try:
                os.sched_setscheduler(thread, policy, os.sched_param(0))
            except ProcessLookupError:
                continue
            except OSError:
                done = False
        # Where sessions are scheduled as groups, the group's weight counts, not the thread's.
        with suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(19 if idle else COMPONENT))
    return done


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []
