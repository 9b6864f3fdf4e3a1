"""What the daemon and all that it started take of the machine, watched while the demo runs.

Memory is the proportional set size: pages that processes share are split among them, so that the
sum over processes is what would be free without them, and no page counts twice.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from retaild.runtime.isolation.family import Table

#: Seconds between two looks; each walks the page tables of everything.
PAUSE = 1.0
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
_MIB = 1024 * 1024


class Footprint:
    """Watches in a thread between `start` and `stop`. Peaks are of the looks that were taken."""

    def __init__(self, root: int, workers: Callable[[], Mapping[str, int | None]]) -> None:
        """`root`: the daemon's pid; `workers`: name -> pid of its workers and services now."""
        self._root = root
        self._workers = workers
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="footprint", daemon=True)
        #: Of the whole, and of each worker with its children, in bytes.
        self.peak = 0
        self.peaks: dict[str, int] = {}
        #: Every process that was seen, with when it began: a pid alone may be given out again.
        self._seen: set[tuple[int, str]] = set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _watch(self) -> None:
        while not self._stopped.wait(PAUSE):
            self.look()

    def look(self) -> None:
        table = Table()
        family = {process.pid: pss(process.pid) for process in table.members(self._root)}
        self.peak = max(self.peak, sum(family.values()))
        self._seen |= {(pid, began) for pid in family if (began := _began(pid))}
        for name, pid in self._workers().items():
            if pid in family:
                taken = sum(family.get(one.pid, 0) for one in table.members(pid))
                self.peaks[name] = max(self.peaks.get(name, 0), taken)

    def alive(self, patience: float = 10.0) -> list[int]:
        """Pids of those that were seen and still run, after waiting `patience` seconds for them."""
        until = time.monotonic() + patience
        while left := [pid for pid, began in self._seen if _began(pid) == began]:
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        return sorted(left)

    def summary(self) -> dict[str, Any]:
        return {
            "peak_mib": round(self.peak / _MIB),
            "peak_mib_by_process": {
                name: round(taken / _MIB) for name, taken in sorted(self.peaks.items())
            },
        }


def pss(pid: int) -> int:
    """Proportional set size in bytes; 0 if it is gone."""
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_bytes())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _began(pid: int) -> str:
    """The kernel's word for when it began; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
