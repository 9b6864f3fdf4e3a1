"""A configuration for the pages' tests: one change to take over, one reload that was taken back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

HOSTILE = '<script>alert("x")</script>'


@dataclass
class FakeConfig:
    """`faulty`: the files cannot be used; `reloads` counts what was asked for."""

    faulty: bool = False
    reloads: list[float] = field(default_factory=list)

    async def configuration(self, number: int | None = None) -> dict[str, Any]:
        setting = {
            "path": "retaild.store",
            "value": f'"{HOSTILE}"',
            "file": "/etc/r.toml",
            "line": 2,
        }
        default = {"path": "api.queue", "value": "256", "file": "", "line": 0}
        return {**_facts(number or 7), "settings": [default, setting]}

    async def history(self) -> list[dict[str, Any]]:
        return [_facts(number) for number in (7, 6, 5)]

    async def diff(self) -> dict[str, Any]:
        touched = {"started": [], "stopped": ["source.old"], "replaced": ["stream"],
                   "untouched": ["serve"]}  # fmt: skip
        change = {"path": "lake.interval_seconds", "kind": "changed", "before": "5.0",
                  "after": "2.0", "file": "/etc/r.toml", "line": 9}  # fmt: skip
        severity = "error" if self.faulty else "warning"
        fault = {"file": "/etc/r.toml", "line": 9, "path": "lake.x", "message": HOSTILE,
                 "hint": "Remove it.", "severity": severity}  # fmt: skip
        if self.faulty:
            return {"faults": [fault], "changes": [], "touched": None, "active": _facts(7)}
        return {"faults": [fault], "changes": [change], "touched": touched, "active": _facts(7)}

    async def reload(self) -> dict[str, Any]:
        self.reloads.append(time.time())
        return {"id": len(self.reloads)}

    async def last_reload(self) -> dict[str, Any] | None:
        return {
            "id": 1, "by": "user ann", "via": "web", "state": "returned", "step": "",
            "started": time.time() - 60, "seconds": 4.25, "log": [HOSTILE], "hint": "",
            "error": f"stream does not work: {HOSTILE}.",
        }  # fmt: skip


def _facts(number: int) -> dict[str, Any]:
    return {"number": number, "at": time.time() - 3600, "why": "reload by user ann (web)",
            "by": "user ann", "main": "/etc/r.toml", "sha256": "ab" * 32}  # fmt: skip
