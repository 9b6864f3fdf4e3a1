"""What is wrong, who was told, and quieting it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from retaild.rest import alerts_schemas as schemas
from retaild.rest.access import needs
from retaild.rest.alerts_data import AlertsData
from retaild.rest.parameters import Limit

_Id = Annotated[int, Path(ge=1, le=2**62, description="Its number.")]


def router(data: AlertsData) -> APIRouter:
    routes = APIRouter(dependencies=[needs("view")], tags=["admin"])
    _silences(routes, data)
    _alerts(routes, data)
    return routes


def _alerts(routes: APIRouter, data: AlertsData) -> None:
    @routes.get("/alerts", response_model=schemas.Alerts)
    async def alerts(
        state: Annotated[Literal["open", "over"], Query(description="Which.")] = "open",
        limit: Limit = 50,
    ) -> dict[str, Any]:
        """All that are open, the most severe first, or the last that are over."""
        return {"alerts": await data.alerts(limit if state == "over" else 0)}

    @routes.get("/alerts/messages", response_model=schemas.Messages)
    async def messages(
        sink: Annotated[str, Query(max_length=200)] = "", limit: Limit = 50
    ) -> dict[str, Any]:
        """Messages to the sinks, the newest first."""
        return {"messages": await data.messages(sink, limit)}

    @routes.get("/alerts/sinks", response_model=schemas.Sinks)
    async def sinks() -> dict[str, Any]:
        """Who is told, and whether it works."""
        return {"sinks": await data.sinks()}

    @routes.get("/alerts/{number}", response_model=schemas.AlertWithMessages)
    async def alert(number: _Id) -> dict[str, Any]:
        """One alert and the messages about it."""
        return await data.alert(number)

    @routes.post(
        "/alerts/{number}/acknowledge",
        response_model=schemas.Alert,
        dependencies=[needs("operate", audit="alert.acknowledge")],
    )
    async def acknowledge(number: _Id) -> dict[str, Any]:
        """Say that you work on it: no repeats, no escalation."""
        return await data.acknowledge(number)


def _silences(routes: APIRouter, data: AlertsData) -> None:
    @routes.get("/alerts/silences", response_model=schemas.Silences)
    async def silences() -> dict[str, Any]:
        """Those in force, the first to end first."""
        return {"silences": await data.silences()}

    @routes.post(
        "/alerts/silences",
        response_model=schemas.Silenced,
        status_code=201,
        dependencies=[needs("operate", audit="alert.silence")],
    )
    async def silence(request: schemas.SilenceRequest) -> dict[str, Any]:
        """Tell nobody of what matches, for a while."""
        number = await data.silence(
            request.key, request.source, request.severity, request.seconds, request.comment
        )
        return {"id": number}

    @routes.delete(
        "/alerts/silences/{number}",
        response_model=schemas.Unsilenced,
        dependencies=[needs("operate", audit="alert.unsilence")],
    )
    async def unsilence(number: _Id) -> dict[str, Any]:
        """End a silence now."""
        await data.unsilence(number)
        return {"id": number}
