"""Component instances: their state, and holding, freeing or restarting one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path

from retaild.rest import instances_schemas as schemas
from retaild.rest.access import needs
from retaild.rest.instances_data import InstancesData
from retaild.rest.parameters import Name
from retaild.runtime.access.permissions import Permission

_Kind = Annotated[
    Literal["source", "alert", "identity", "service", "stream"], Path(description="Of plugin.")
]
#: What only lets it go on; the rest takes something away from the shop.
_OPERATED: Mapping[str, str] = {
    "resume": "Let it out of quarantine; it goes on where it stopped.",
    "restart": "End its process in an orderly way and start it again.",
}
_ADMINISTERED: Mapping[str, str] = {
    "enable": "Let it run again after it was disabled.",
    "disable": "Stop it until it is enabled, also over restarts.",
    "quarantine": "Stop it for an examination; others hear of it by an alert.",
}


def router(data: InstancesData) -> APIRouter:
    routes = APIRouter(dependencies=[needs("view")], tags=["admin"])

    @routes.get("/instances", response_model=schemas.Instances)
    async def instances() -> dict[str, Any]:
        """Every configured instance that can be held back; those that are come first."""
        return {"instances": await data.instances()}

    for action, text in _OPERATED.items():
        _act(routes, data, action, text, "operate")
    for action, text in _ADMINISTERED.items():
        _act(routes, data, action, text, "administer")
    return routes


def _act(
    routes: APIRouter, data: InstancesData, action: str, text: str, permission: Permission
) -> None:
    # Of a change of standing the daemon itself writes the entry, whoever asked.
    audit = "worker.restart" if action == "restart" else ""

    @routes.post(
        f"/instances/{{kind}}/{{name}}/{action}", name=f"{action}_instance", description=text,
        response_model=schemas.Changed, dependencies=[needs(permission, audit=audit)],
    )  # fmt: skip
    async def act(
        kind: _Kind, name: Name, why: Annotated[schemas.Why, Body(default_factory=schemas.Why)]
    ) -> dict[str, Any]:
        return await data.change(action, kind, name, why.reason)
