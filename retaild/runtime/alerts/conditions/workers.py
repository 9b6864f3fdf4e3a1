"""Workers that do not stay up, and a lake that falls behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from retaild.runtime.alerts.conditions.condition import Facts, Finding, Sure
from retaild.runtime.alerts.conditions.watched import Watched

#: So many restarts in so many seconds are over and over.
RESTARTS = 3
RESTART_SECONDS = 600.0
#: States of a worker that somebody, or the host, holds back.
_HELD = ("disabled", "quarantined")


@dataclass
class Restarts:
    """Workers of the host; components have their own count, which ends in quarantine.

    One that is held back is not started again: another alert tells of that.
    """

    source: str = "worker"
    _watched: Watched = field(default_factory=lambda: Watched(RESTART_SECONDS))

    def look(self, facts: Facts) -> Iterator[Finding]:
        for row in facts.state.workers():
            if "." in row["name"] or row["state"] in _HELD:
                continue
            times = self._watched.growth(row["name"], float(row["restarts"] or 0), facts.now)
            if times >= RESTARTS:
                yield Finding(
                    f"worker.{row['name']}.restarting",
                    "error",
                    f"Worker {row['name']} was started again {times:.0f} times in the last "
                    f"{RESTART_SECONDS / 60:.0f} minutes.",
                    f"See `retaildctl logs {row['name']}`.",
                    {"last error": str(row["last_error"] or "")[:500]},
                )

    def is_sure(self, now: float) -> bool:
        return self._watched.full(now)


@dataclass
class Lag(Sure):
    """The lake behind the log, in rows and in seconds.

    Seconds: how long ago the log ended where the lake is now, to the precision of the looks.
    """

    source: str = "lag"
    #: (when, rows in the log), oldest first; those the lake has are dropped.
    _ends: list[tuple[float, float]] = field(default_factory=list)

    def look(self, facts: Facts) -> Iterator[Finding]:
        figures = {row["name"]: row["figures"] or {} for row in facts.state.workers()}
        stream, serve = figures.get("stream", {}), figures.get("serve", {})
        if "rows" not in stream:
            return
        done = float(stream["rows"])
        behind = max(float(stream.get("lag_rows", 0)), float(serve.get("backlog_rows", 0)))
        seconds = self._seconds(done, done + behind, facts.now)
        limits = facts.settings.alerts
        if behind > limits.lag_rows or seconds > limits.lag_seconds:
            yield Finding(
                "lag.lake",
                "warning",
                f"The lake is {behind:,.0f} rows and {seconds / 60:,.0f} minutes behind.",
                "See `retaildctl status` and `retaildctl logs stream`; a large import catches up "
                "by itself.",
                {"rows": f"{behind:.0f}", "seconds": f"{seconds:.0f}"},
            )

    def _seconds(self, done: float, end: float, now: float) -> float:
        self._ends = [(at, rows) for at, rows in self._ends if rows > done and at <= now]
        if end > done and (not self._ends or end > self._ends[-1][1]):
            self._ends.append((now, end))
        # One in two is enough for a lag of hours.
        if len(self._ends) > 2000:
            self._ends = self._ends[::2]
        return now - self._ends[0][0] if self._ends else 0.0
