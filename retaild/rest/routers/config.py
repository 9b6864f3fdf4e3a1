"""The configuration in force, what a reload would change, and reloading."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from retaild.rest import config_schemas as schemas
from retaild.rest.access import needs
from retaild.rest.config_data import ConfigData


def router(config: ConfigData) -> APIRouter:
    routes = APIRouter(prefix="/config", dependencies=[needs("view")], tags=["admin"])

    @routes.get("", response_model=schemas.FullConfiguration)
    async def configuration(number: int | None = None) -> dict[str, Any]:
        """All settings in force, or those of an earlier configuration; secrets are hidden."""
        return await config.configuration(number)

    @routes.get("/history", response_model=schemas.History)
    async def history() -> dict[str, Any]:
        """The configurations that were in force."""
        return {"configurations": await config.history()}

    @routes.get("/diff", response_model=schemas.Diff)
    async def diff() -> dict[str, Any]:
        """What a reload would do now. Reads and checks everything: takes a second or more."""
        return await config.diff()

    @routes.get("/reload", response_model=schemas.LastReload)
    async def last() -> dict[str, Any]:
        """The reload under way, or the last one."""
        return {"reload": await config.last_reload()}

    @routes.post(
        "/reload",
        dependencies=[needs("administer")],
        response_model=schemas.Reload,
        status_code=202,
    )
    async def reload() -> dict[str, Any]:
        """Begin a reload; `GET /config/reload` tells how it goes. 409 while one is under way.

        The daemon writes it to the audit log, with its outcome.
        """
        return await config.reload()

    return routes
