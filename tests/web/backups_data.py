"""Backups for the pages' tests: one whole, one damaged, one archive that nobody has read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError


@dataclass
class FakeBackups:
    """`none`: no directory is configured; `verified` names what was asked for."""

    none: bool = False
    taken: int = 0
    verified: list[str] = field(default_factory=list)
    state: str = "succeeded"

    async def backups(self) -> dict[str, Any]:
        now = time.time()
        return {"directory": "", "backups": []} if self.none else {
            "directory": "/mnt/safe",
            "backups": [
                _backup("retaild-20260131T023000Z", now - 7200, {"at": now - 600, "fault": ""}),
                _backup(
                    "retaild-20260130T023000Z", now - 93_600,
                    {"at": now - 500, "fault": "lake/bronze.sale/1.parquet differs."},
                ),
                {"name": "moved.tar.zst", "path": "/mnt/safe/moved.tar.zst", "bytes": 81_000_000,
                 "finished": now - 900_000, "verified": None},
            ],
        }  # fmt: skip

    async def runs(self, limit: int) -> list[dict[str, Any]]:
        runs = [
            {"id": number, "state": self.state, "started": time.time() - 60, "error": ""}
            for number in range(self.taken, 0, -1)
        ]
        return runs[:limit]

    async def take(self) -> int:
        self.taken += 1
        self.state = "running"
        return self.taken

    async def verify(self, name: str) -> int:
        if not name.startswith(("retaild-", "moved")):
            error = RetaildError(f"There is no backup {name!r}.")
            error.key = "backup.unknown"
            raise error
        self.verified.append(name)
        return 90


def _backup(name: str, finished: float, verified: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name, "path": f"/mnt/safe/{name}", "bytes": 255_000_000, "finished": finished,
        "linked_bytes": 201_000_000, "files": 317, "version": "0.4.0", "with_secrets": False,
        "verified": verified,
    }  # fmt: skip
