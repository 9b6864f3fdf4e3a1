"""The door for events."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from retaild.events import FAMILIES
from retaild.rest.access import needs
from retaild.rest.schemas import EventsReceipt
from retaild.runtime.serving.services import Services
from retaild.runtime.serving.validation import ACCEPTED, MAX_EVENTS

_EXAMPLE = {
    "events": [
        {
            "family": "activity",
            "action": "basket_add",
            "customer_id": "17850",
            "product_id": "85123A",
            "event_id": "web-1",
        }
    ]
}
_DESCRIPTION = f"""Takes one event, an array, `{{"events": [...]}}`, or NDJSON
(`application/x-ndjson`), at most {MAX_EVENTS} events. `family` selects the model. `event_id`,
`event_time`, `source` and `store` are filled in when left out; only a stated `event_id` makes a
repeated request harmless. The answer comes when the disk has confirmed: what is counted as accepted
survives a power cut and is known to the next recommendation. Elements that are wrong are counted in
`rejected` and kept as dead letters."""


def router(services: Services) -> APIRouter:
    routes, door = APIRouter(dependencies=[needs("ingest")], tags=["events"]), services.door

    @routes.post(
        "/events",
        status_code=202,
        response_model=EventsReceipt,
        summary="Take in events",
        description=_DESCRIPTION,
        openapi_extra={"requestBody": _request_body()},
    )
    async def events(request: Request) -> Response:
        receipt = await door.accept(await request.body(), request.headers.get("content-type", ""))
        content = EventsReceipt.model_validate(receipt.public()).model_dump_json()
        return Response(content, 202, media_type="application/json")

    return routes


def _request_body() -> dict[str, Any]:
    families = [_family(name) for name in ACCEPTED]
    one: dict[str, Any] = {"oneOf": families}
    many = {
        "type": "object",
        "required": ["events"],
        "properties": {"events": {"type": "array", "items": one, "maxItems": MAX_EVENTS}},
    }
    return {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [one, {"type": "array", "items": one}, many]},
                "example": _EXAMPLE,
            },
            "application/x-ndjson": {"schema": one},
        },
    }


def _family(name: str) -> dict[str, Any]:
    """The family's JSON Schema as a sender sees it: with `family`, fewer fields required."""
    schema = FAMILIES[name].model_json_schema(ref_template=f"#/components/schemas/{name}-{{model}}")
    schema.pop("$defs", None)
    properties = {"family": {"const": name, "type": "string"}, **schema["properties"]}
    filled = {"event_id", "event_time", "source"}
    required = ["family", *(f for f in schema.get("required", []) if f not in filled)]
    return {**schema, "properties": _inlined(name, properties), "required": required}


def _inlined(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    """References to enums, written out: the schema stands alone."""
    definitions = FAMILIES[name].model_json_schema().get("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                rest = {key: inline(inner) for key, inner in value.items() if key != "$ref"}
                target = definitions[value["$ref"].rpartition(f"{name}-")[2]]
                return {**target, **rest}
            return {key: inline(inner) for key, inner in value.items()}
        return [inline(inner) for inner in value] if isinstance(value, list) else value

    inlined: dict[str, Any] = inline(properties)
    return inlined
