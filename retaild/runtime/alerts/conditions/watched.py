"""Counters watched over a while."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Watched:
    """How much each named counter grew within the last `seconds`.

    A counter that falls was begun anew: by a restart, which does not count as growth.
    """

    seconds: float
    _samples: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)
    _since: float | None = None

    def growth(self, name: str, value: float, now: float) -> float:
        """Note the value of now; the growth."""
        if self._since is None:
            self._since = now
        samples = self._samples.setdefault(name, deque())
        if samples and (value < samples[-1][1] or now < samples[-1][0]):
            samples.clear()
        samples.append((now, value))
        while len(samples) > 1 and samples[1][0] <= now - self.seconds:
            samples.popleft()
        return value - samples[0][1]

    def full(self, now: float) -> bool:
        """Whether it was watched for the whole time."""
        return self._since is not None and now - self._since >= self.seconds
