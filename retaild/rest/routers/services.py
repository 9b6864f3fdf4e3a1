"""Managed services: the servers that retaild runs. They are started and stopped as instances."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from retaild.rest import services_schemas as schemas
from retaild.rest.access import needs
from retaild.rest.services_data import ServicesData


def router(data: ServicesData) -> APIRouter:
    routes = APIRouter(dependencies=[needs("view")], tags=["admin"])

    @routes.get("/services", response_model=schemas.Services)
    async def services() -> dict[str, Any]:
        """Servers that retaild runs, with figures, and which engine does which part.

        `POST /instances/service/NAME/restart` and the like start and stop them.
        """
        return await data.services()

    return routes
