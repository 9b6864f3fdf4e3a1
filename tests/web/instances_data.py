"""Instances for the pages' tests: one in quarantine, one disabled, one that runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError

HOSTILE = '<script>alert("log")</script>'


@dataclass
class FakeInstances:
    """`none`: nothing is configured; `asked`: (action, kind, name, reason)."""

    none: bool = False
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    standing: dict[str, str] = field(
        default_factory=lambda: {"broken": "quarantined", "old": "disabled", "tills": "enabled"}
    )

    async def instances(self) -> list[dict[str, Any]]:
        rows = [_instance(name, standing) for name, standing in self.standing.items()]
        return [] if self.none else sorted(rows, key=lambda row: row["standing"] == "enabled")

    async def change(self, action: str, kind: str, name: str, reason: str = "") -> dict[str, Any]:
        if name not in self.standing:
            error = RetaildError(f"There is no {kind} {name!r}.", hint="Known: source.tills.")
            error.key = "instance.unknown"
            raise error
        self.asked.append((action, kind, name, reason))
        after = {"disable": "disabled", "quarantine": "quarantined"}
        self.standing[name] = after.get(action, "enabled")
        return {"kind": kind, "name": name, "state": self.standing[name], "reason": reason}


def _instance(name: str, standing: str) -> dict[str, Any]:
    now, runs = time.time(), standing == "enabled"
    reasons = {"quarantined": f"it failed 5 times: {HOSTILE}", "disabled": "by ann"}
    lines = [f"2026-01-31T12:00:00.123Z ERROR   acme: {HOSTILE}", "    | Traceback"]
    return {
        "kind": "source", "name": name, "process": f"source.{name}", "plugin": "tabular",
        "standing": standing, "reason": reasons.get(standing, ""), "cause": "",
        "by": "retaild" if standing == "quarantined" else "user ann", "since": now - 600,
        "lines": lines if standing == "quarantined" else [],
        "state": "running" if runs else "stopped", "alive": runs, "pid": 4711 if runs else None,
        "started": now - 7200 if runs else None, "restarts": 0 if runs else 5,
        "memory": 61 * 1024**2 if runs else None, "last_error": "",
        "failures": [{"at": now - 660, "reason": HOSTILE}] if standing == "quarantined" else [],
        "log": lines if not runs else ["2026-01-31T12:00:00.123Z INFO    tabular: 200 rows"],
    }  # fmt: skip
