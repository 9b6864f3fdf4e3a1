"""Backups for routes and pages: looking at them, and jobs that the daemon runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from retaild.runtime.admin.facade import Admin


@dataclass(frozen=True)
class BackupsData:
    admin: Admin

    async def backups(self) -> dict[str, Any]:
        """`directory`, `backups`; see `retaild.runtime.admin.backups`."""
        return await asyncio.to_thread(self.admin.backups)

    async def runs(self, limit: int) -> list[dict[str, Any]]:
        """Of the job `backup`, newest first."""
        return await asyncio.to_thread(self.admin.runs, "backup", limit)

    async def take(self) -> int:
        """The run's id. Raises NotRunningError, RefusedError."""
        return await asyncio.to_thread(self.admin.run_job, "backup")

    async def verify(self, name: str) -> int:
        """The run's id. Raises UnknownBackupError, NotRunningError, RefusedError."""
        return await asyncio.to_thread(self.admin.verify_backup, name)
