"""Live figures as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from retaild.api.errors import RetaildError
from retaild.rest.access import needs
from retaild.rest.status import status
from retaild.runtime.access.caller import current_caller
from retaild.runtime.serving.services import Services

SECONDS = 2.0
MAX_STREAMS = 64


class TooManyStreamsError(RetaildError):
    key = "serve.too_many_streams"

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_STREAMS} pages follow the live figures already.", hint="Close one and reload."
        )


async def _still_in(services: Services) -> bool:
    """A stream ends with the session that opened it."""
    session = current_caller().session
    return not session or await asyncio.to_thread(services.access.sessions.alive, session)


def router(services: Services, closing: asyncio.Event) -> APIRouter:
    """`closing` is set when the server stops: the streams end then."""
    routes = APIRouter(dependencies=[needs("view")], tags=["admin"])
    open_streams: set[int] = set()

    async def figures(number: int) -> AsyncIterator[bytes]:
        try:
            while not closing.is_set() and await _still_in(services):
                data = json.dumps(await asyncio.to_thread(status, services), default=str)
                yield f"event: status\ndata: {data}\n\n".encode()
                try:
                    await asyncio.wait_for(closing.wait(), SECONDS)
                except TimeoutError:
                    continue
        finally:
            open_streams.discard(number)

    @routes.get(
        "/stream",
        summary="Status every two seconds",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def stream() -> StreamingResponse:
        """Server-sent events `status`, each with the JSON of GET /status."""
        if len(open_streams) >= MAX_STREAMS:
            raise TooManyStreamsError
        number = max(open_streams, default=0) + 1
        open_streams.add(number)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(figures(number), headers=headers, media_type="text/event-stream")

    return routes
