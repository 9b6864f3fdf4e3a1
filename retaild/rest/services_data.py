"""Managed services for routes and pages: in threads, for they read files and sqlite."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from retaild.runtime.admin.facade import Admin


@dataclass(frozen=True)
class ServicesData:
    admin: Admin

    async def services(self) -> dict[str, Any]:
        """`services` and `parts`; see `retaild.runtime.services.overview`."""
        return await asyncio.to_thread(self.admin.services)
