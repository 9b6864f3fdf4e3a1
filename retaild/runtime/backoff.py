"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling pauses in seconds, from `first` up to `cap`; reset by a run of `healthy` seconds."""

    first: float = 0.05
    cap: float = 30.0
    healthy: float = 10.0
    _next: float = 0.0

    def pause(self, ran: float) -> float:
        """The pause after something that ran for `ran` seconds failed."""
        if ran >= self.healthy or self._next == 0.0:
            self._next = self.first
        pause = self._next
        self._next = min(self.cap, pause * 2)
        return pause
