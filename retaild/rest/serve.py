"""The serve worker: one process, one event loop, REST and pages on one loopback port.

This is the one place where REST and pages meet. They are siblings that do not know each other, so
the pages are found by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from retaild.api.errors import RetaildError
from retaild.rest.app import create_app
from retaild.rest.pagedata import ServedPageData
from retaild.runtime.context import WorkerContext
from retaild.runtime.serving.services import Services, build

_log = logging.getLogger(__name__)

#: Looks at the stop sign so often, in seconds.
POLL_SECONDS = 0.1
#: Open connections have so long to end after the stop sign.
GRACE_SECONDS = 5
PAGES = "retaild.web.app"


class PortTakenError(RetaildError):
    key = "serve.port_taken"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"The server cannot listen on {host}:{port}: {reason}.",
            hint="Is another retaild running? Set api.port to a free port.",
        )


def main(context: WorkerContext) -> None:
    """Serve until `context.stop` is set. Raises PortTakenError and what the bus raises."""
    listening = listen(context.settings.api.host, context.settings.api.port)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(context, listening))


async def _serve(context: WorkerContext, listening: socket.socket) -> None:
    services, closing = build(context), asyncio.Event()
    app = create_app(services, page_routes(services), closing)
    server = Server(_config(context, app))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        # Answers "not ready" until the snapshot and the log's tail are read.
        await services.start()
        while not context.stop.is_set() and not serving.done():
            await asyncio.sleep(POLL_SECONDS)
    finally:
        closing.set()
        server.should_exit = True
        await serving
        await services.stop()


def _config(context: WorkerContext, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        log_level=context.settings.retaild.log_level,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


class Server(uvicorn.Server):
    """Leaves signals to the worker, whose stop sign ends the server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; a port that a killed worker held is free at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise PortTakenError(host, port, error.strerror or str(error)) from error
    listening.setblocking(False)
    return listening


def page_routes(services: Services) -> Sequence[BaseRoute]:
    """The pages, given what they ask for."""
    pages = importlib.import_module(PAGES)
    routes: Sequence[BaseRoute] = pages.pages(ServedPageData(services))
    return routes


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # not made for every system
        return None
    return uvloop.new_event_loop
