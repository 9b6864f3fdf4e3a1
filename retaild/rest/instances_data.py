"""Component instances for routes and pages: in threads, in the name of the caller."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from retaild.runtime.admin.facade import Admin


@dataclass(frozen=True)
class InstancesData:
    admin: Admin

    async def instances(self) -> list[dict[str, Any]]:
        """Those that are held first; see `retaild.runtime.admin.instances`."""
        return await asyncio.to_thread(self.admin.instances)

    async def change(self, action: str, kind: str, name: str, reason: str = "") -> dict[str, Any]:
        """Raises NotRunningError, and RefusedError with the daemon's reason."""
        return await asyncio.to_thread(self.admin.change_instance, action, kind, name, reason)
