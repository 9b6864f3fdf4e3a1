"""How full the disk is, and in how many days it will be full at the present pace.

The daemon keeps a sample every ten minutes for two weeks, in one small file. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from retaild.config.paths import DataDir

EVERY_SECONDS = 600.0
KEEP = 2016
#: A pace measured over less than this says nothing about days.
_LEAST_SPAN = 6 * 3600.0
_WINDOW = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes free for retaild and in all, and days until it is full; None: it does not fill."""

    free: int
    total: int
    days_left: float | None = None

    @property
    def free_share(self) -> float:
        return self.free / self.total if self.total else 0.0


def sample(data: DataDir, now: float) -> None:
    """Keep what is free now, unless that was done within the last ten minutes. `now`: UTC."""
    path = data.disk_history
    samples = _samples(data)
    if samples and 0 <= now - samples[-1][0] < EVERY_SECONDS:
        return
    free = shutil.disk_usage(data.root).free
    lines = [json.dumps(item) for item in (*samples[1 - KEEP :], (now, free))]
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    os.replace(fresh, path)


def space(data: DataDir, now: float) -> Space:
    """Raises OSError if the data directory is not there."""
    usage = shutil.disk_usage(data.root)
    recent = [item for item in _samples(data) if now - _WINDOW <= item[0] <= now]
    pace = bytes_per_second([*recent, (now, usage.free)])
    filling = pace is not None and pace < 0
    days = usage.free / -pace / 86_400 if filling and pace else None
    return Space(usage.free, usage.total, days)


def bytes_per_second(samples: Iterable[tuple[float, float]]) -> float | None:
    """Slope of the least-squares line through (time, free bytes); None if the span is short."""
    points = list(samples)
    if len(points) < 3 or points[-1][0] - points[0][0] < _LEAST_SPAN:
        return None
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(free for _, free in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    return sum((at - middle) * (free - mean) for at, free in points) / spread if spread else None


def _samples(data: DataDir) -> list[tuple[float, float]]:
    """A line that cannot be read (torn by a power cut) is left out."""
    try:
        lines = data.disk_history.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [found for line in lines if (found := _parsed(line))]


def _parsed(line: str) -> tuple[float, float] | None:
    try:
        at, free = json.loads(line)
        return float(at), float(free)
    except (ValueError, TypeError):
        return None
