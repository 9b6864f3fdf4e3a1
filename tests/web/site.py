"""The pages on a real server, with the few REST routes that their script calls."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from retaild.web.app import pages
from tests.web.desk_data import ShopPages


def site(data: ShopPages) -> Starlette:
    async def customers(request: Request) -> JSONResponse:
        return JSONResponse({"customers": await data.find_customers(request.query_params["q"], 8)})

    async def products(request: Request) -> JSONResponse:
        return JSONResponse({"products": await data.search_products(request.query_params["q"], 8)})

    async def events(request: Request) -> JSONResponse:
        event = await request.json()
        await data.change_basket(event["customer_id"], event["product_id"], event["action"])
        return JSONResponse({"accepted": 1, "rejected": [], "offset": 1}, status_code=202)

    async def stream(_: Request) -> StreamingResponse:
        async def beats() -> AsyncIterator[bytes]:
            while True:
                yield b"event: status\ndata: {}\n\n"
                await asyncio.sleep(2)

        return StreamingResponse(beats(), media_type="text/event-stream")

    rest = [
        Route("/api/v1/customers", customers),
        Route("/api/v1/products", products),
        Route("/api/v1/events", events, methods=["POST"]),
        Route("/api/v1/stream", stream),
    ]
    return Starlette(routes=[*rest, *pages(data, strict=True)])


@dataclass
class Running:
    """A server in a thread, on a free port of loopback."""

    url: str
    data: ShopPages
    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.server.force_exit = True
        self.thread.join(10)


def run(data: ShopPages, port: int = 0) -> Running:
    config = uvicorn.Config(
        site(data),
        host="127.0.0.1",
        port=port,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError("the test server did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return Running(f"http://127.0.0.1:{port}", data, server, thread)
