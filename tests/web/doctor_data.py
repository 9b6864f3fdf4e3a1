"""A doctor for the pages' tests: what it finds, and what was asked of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

HOSTILE = '<script>alert("x")</script>'


@dataclass
class FakeDoctor:
    """`well`: nothing is wrong."""

    well: bool = False
    mended: list[str] = field(default_factory=list)

    async def findings(self) -> dict[str, Any]:
        fine = [_finding("port", "ok", "Nothing to find fault with.")]
        wrong = [
            _finding("disk", "error", "2.1 GiB of 64 are free (3%), and full in 1 days."),
            _finding("config", "warning", f"retaild.toml:3: {HOSTILE}", target=HOSTILE),
            _finding(
                "permissions", "warning", "Others may open the data.", target="/srv/data",
                fix="Set its mode to 750.",
            ),
        ]  # fmt: skip
        still = [f for f in wrong if f["id"] not in self.mended]
        return {"at": time.time() - 5, "findings": fine if self.well else [*still, *fine]}

    async def fix(self, finding: str) -> dict[str, Any]:
        self.mended.append(finding)
        return {"id": finding, "done": "its mode is 750 now", "failed": False}


def _finding(
    check: str, severity: str, summary: str, *, target: str = "", fix: str | None = None
) -> dict[str, Any]:
    return {
        "id": f"{check}:{target}" if target else check,
        "check": check,
        "target": target,
        "severity": severity,
        "summary": summary,
        "hint": "A hint.",
        "fix": fix,
    }
