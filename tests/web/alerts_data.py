"""Alerts for the pages' tests: some are open, some over, one sink is in trouble."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from retaild.runtime.alerts.desk import UnknownAlertError, UnknownSilenceError

HOSTILE = '<script>alert("x")</script>'


@dataclass
class FakeAlerts:
    """`well`: nothing is wrong, and no sink is configured."""

    well: bool = False
    taken: list[int] = field(default_factory=list)
    silenced: list[tuple[str, float]] = field(default_factory=list)

    async def alerts(self, history: int = 0) -> list[dict[str, Any]]:
        if self.well:
            return []
        if history:
            return [_alert(1, "job.refresh.failed", "error", "resolved", "Job refresh failed.")]
        rows = [
            _alert(2, "disk.data", "critical", "open", "The disk is 97% full."),
            _alert(3, f"instance.source.{HOSTILE}", "warning", "open", f"Lost: {HOSTILE}"),
            _alert(4, "lag.lake", "warning", "resolved", "The lake is behind."),
        ]
        for row in rows:
            if row["id"] in self.taken:
                row.update(state="acknowledged", acknowledged_by="ann")
        return rows

    async def acknowledge(self, number: int) -> dict[str, Any]:
        for row in await self.alerts():
            if row["id"] == number:
                self.taken.append(number)
                return row
        raise UnknownAlertError(number)

    async def silences(self) -> list[dict[str, Any]]:
        now = time.time()
        return [
            {"id": number, "key": key, "source": "", "severity": "", "by": "ann",
             "comment": HOSTILE, "created": now, "until": now + seconds}
            for number, (key, seconds) in enumerate(self.silenced)
        ]  # fmt: skip

    async def silence(
        self, key: str, source: str, severity: str, seconds: float, comment: str
    ) -> int:
        self.silenced.append((key, seconds))
        return len(self.silenced) - 1

    async def unsilence(self, number: int) -> None:
        if number >= len(self.silenced):
            raise UnknownSilenceError(number)
        del self.silenced[number]

    async def sinks(self) -> list[dict[str, Any]]:
        row = {"sink": "pager", "configured": True, "delivered": 12, "waiting": 2, "refused": 1,
               "last_delivered": time.time() - 60, "last_error": HOSTILE}  # fmt: skip
        return [] if self.well else [row]

    async def messages(self, sink: str = "", limit: int = 50) -> list[dict[str, Any]]:
        row = {"id": "m", "sink": "pager", "action": "trigger", "state": "pending", "attempts": 3,
               "created": time.time() - 60, "due": time.time() + 20, "finished": None,
               "error": HOSTILE, "group": "g", "severity": "critical", "escalation": 0,
               "summary": "The disk is 97% full."}  # fmt: skip
        return [] if self.well else [row]


def _alert(number: int, key: str, severity: str, state: str, summary: str) -> dict[str, Any]:
    now = time.time()
    return {
        "id": number, "key": key, "severity": severity, "state": state, "summary": summary,
        "hint": "See the logs.", "source": key.partition(".")[0], "group": "g", "details": {},
        "started": now - 500, "last": now - 5, "count": number, "acknowledged": None,
        "acknowledged_by": None, "resolved": now if state == "resolved" else None,
        "escalation": number % 2,
    }  # fmt: skip
