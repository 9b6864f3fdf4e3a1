"""The serve worker: one process, one event loop, REST and pages on one loopback port.

This is the one place where REST and pages meet. They are siblings that do not know each other, so
the pages are found by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from retaild.rest.app import create_app
from retaild.rest.pagedata import ServedPageData
from retaild.rest.tls import Certificate, certificate_of
from retaild.runtime.context import WorkerContext
from retaild.runtime.listening import LISTEN_VARIABLE, READY_VARIABLE, listen
from retaild.runtime.priority import come_first
from retaild.runtime.serving.services import Services, build

_log = logging.getLogger(__name__)

#: Looks at the stop sign so often, in seconds.
POLL_SECONDS = 0.1
#: Open connections have so long to end after the stop sign.
GRACE_SECONDS = 4
#: Idle connections to a server that is handed over have so long to send what is on its way.
DRAIN_SECONDS = 1.0
PAGES = "retaild.web.app"


def main(context: WorkerContext) -> None:
    """Serve until `context.stop` is set. Raises PortTakenError and what the bus raises."""
    api = context.settings.api
    handed = given(os.environ)
    listening = handed or listen(api.host, api.port)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(context, listening, shared=handed is not None))


async def _serve(context: WorkerContext, listening: socket.socket, *, shared: bool) -> None:
    services, closing, api = build(context), asyncio.Event(), context.settings.api
    app = create_app(services, page_routes(services), closing)
    certificate = certificate_of(context.settings)
    server = Server(_config(context, app, certificate))
    fresh = asyncio.create_task(certificate.keep()) if certificate else None
    waiting = os.environ.pop(READY_VARIABLE, None)
    serving: asyncio.Task[None] | None = None
    try:
        if waiting is not None:
            # Another server answers meanwhile: this one takes over when it has read all.
            await services.start()
            await _until(context, lambda: services.background.progress.ready)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        if waiting is not None:
            await _until(context, lambda: server.started)
            os.write(int(waiting), b"1")
        else:  # answers "not ready" until the snapshot and the log's tail are read
            await services.start()
        if api.realtime and come_first():
            _log.info("answers come before all other work of this machine")
        await _until(context, serving.done)
    finally:
        closing.set()
        if fresh is not None:
            fresh.cancel()
        if shared and server.started:
            await _drain(server)
        server.should_exit = True
        if serving is not None:
            await serving
        await services.stop()


async def _until(context: WorkerContext, condition: Callable[[], bool]) -> None:
    """Wait for it, or for the stop sign."""
    while not context.stop.is_set() and not condition():
        await asyncio.sleep(POLL_SECONDS)


async def _drain(server: Server) -> None:
    """Accept no more, and let those go on who are connected: another server has the socket too.

    A request that is on its way is answered, with word that the connection ends then.
    """
    for listener in server.servers:
        listener.close()
    state = server.server_state
    state.default_headers = [*state.default_headers, (b"connection", b"close")]
    until = time.monotonic() + DRAIN_SECONDS
    while state.connections and time.monotonic() < until:
        await asyncio.sleep(0.02)


def _config(
    context: WorkerContext, app: Any, certificate: Certificate | None = None
) -> uvicorn.Config:
    tls = None if certificate is None else partial(_context_of, certificate)
    return uvicorn.Config(
        app,
        http="httptools",
        ssl_context_factory=tls,
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        log_level=context.settings.retaild.log_level,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _context_of(certificate: Certificate, *_: object) -> ssl.SSLContext:
    """As it is now: the files may have been renewed."""
    return certificate.context


class Server(uvicorn.Server):
    """Leaves signals to the worker, whose stop sign ends the server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def given(environment: Mapping[str, str]) -> socket.socket | None:
    """The listening socket that the daemon handed over, if it did."""
    number = environment.get(LISTEN_VARIABLE)  # inherited under this number
    if number is None:
        return None
    listening = socket.socket(fileno=int(number))
    listening.set_inheritable(False)
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
