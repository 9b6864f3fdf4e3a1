"""Backups that are there, taking and verifying one as jobs, and the debug bundle."""

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
from retaild.rest.admin_schemas import RunAccepted
from retaild.rest.backups_data import BackupsData
from retaild.rest.parameters import Name
from retaild.runtime.bundle.write import write_bundle
from retaild.runtime.serving.services import Services


class Verified(BaseModel):
    at: float = Field(description="Seconds since the epoch (UTC).")
    fault: str = Field(description="Empty: every byte is as it was written.")


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
    verified: Verified | None = Field(description="By the last job `verify-backup`.")


class Backups(BaseModel):
    directory: str = Field(description="Where they are put; empty: not configured.")
    backups: list[BackupOut]


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["admin"])
    context, data = services.context, BackupsData(services.admin)

    @routes.get("/backups", response_model=Backups, dependencies=[needs("view")])
    async def backups() -> dict[str, Any]:
        """Backups in the configured directory, newest first."""
        return await data.backups()

    @routes.post(
        "/backups", response_model=RunAccepted, status_code=202,
        dependencies=[needs("operate", audit="backup.create")],
    )  # fmt: skip
    async def take() -> dict[str, Any]:
        """Take one now: the job `backup`; its run says when it is done."""
        return {"run_id": await data.take()}

    @routes.post(
        "/backups/{name}/verify", response_model=RunAccepted, status_code=202,
        dependencies=[needs("operate", audit="backup.verify")],
    )  # fmt: skip
    async def verify(name: Name) -> dict[str, Any]:
        """Read it whole and compare: the job `verify-backup`, which fails if it is damaged."""
        return {"run_id": await data.verify(name)}

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
