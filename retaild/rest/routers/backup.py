"""Backups that are there, and the debug bundle. A backup is started as the job `backup`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from retaild.config.active import ActiveStore
from retaild.rest.access import needs
from retaild.runtime.backup.service import listed
from retaild.runtime.bundle.write import write_bundle
from retaild.runtime.serving.services import Services


class BackupOut(BaseModel):
    """A finished backup; of an archive only name, size and time are known."""

    model_config = ConfigDict(extra="ignore")

    name: str
    path: str
    bytes: int
    finished: float = Field(description="Seconds since the epoch (UTC).")
    linked_bytes: int | None = Field(None, description="Shared with earlier backups.")
    files: int | None = None
    version: str | None = Field(None, description="Of retaild that made it.")


class Backups(BaseModel):
    directory: str = Field(description="Where they are put; empty: not configured.")
    backups: list[BackupOut]


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["admin"])
    context = services.context

    @routes.get("/backups", response_model=Backups, dependencies=[needs("view")])
    def backups() -> dict[str, Any]:
        """Backups in the configured directory, newest first."""
        section = context.settings.backup
        if not section.directory:
            return {"directory": "", "backups": []}
        folder = context.settings.base_dir / section.directory
        return {"directory": str(folder), "backups": listed(folder)}

    @routes.post(
        "/debug-bundle", response_class=FileResponse,
        dependencies=[needs("administer", audit="bundle.debug")],
    )  # fmt: skip
    def debug_bundle() -> FileResponse:
        """Versions, figures, settings and logs as .tar.gz: no secrets, no data of customers."""
        with tempfile.NamedTemporaryFile(suffix=".tar.gz", delete=False) as file:
            target = Path(file.name)
        active = ActiveStore(context.data).current()
        main = Path(active.main) if active is not None and active.main else None
        write_bundle(target, context.data, main)
        return FileResponse(
            target, media_type="application/gzip", filename="retaild-debug.tar.gz",
            background=BackgroundTask(target.unlink, missing_ok=True),
        )  # fmt: skip

    return routes
