"""The fast lane: recommendations of a customer, answered before FastAPI.

Gives the same bytes as the documented route (a test holds both together). What it does not take at
once (other methods, odd parameters, foreign hosts) goes to the app behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter

from starlette.types import ASGIApp, Receive, Scope, Send

from retaild.rest.gate import Hosts, RequestIds
from retaild.rest.metrics import Metrics
from retaild.runtime.access.desk import AccessDesk
from retaild.runtime.serving.answers import Answer
from retaild.runtime.serving.engine import Engine

PREFIX = "/api/v1/customers/"
SUFFIX = "/recommendations"
ROUTE = "/api/v1/customers/{customer_id:path}/recommendations"
_START, _END = len(PREFIX), -len(SUFFIX)
_MAX_ID = 200
_MAX_COUNT = 100


class FastLane:
    """ASGI app in front of `app`."""

    def __init__(
        self,
        app: ASGIApp,
        engine: Engine,
        hosts: Hosts,
        ids: RequestIds,
        metrics: Metrics,
        desk: AccessDesk,
        security: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._app = app
        self._engine = engine
        self._pace = engine.pace
        self._hosts = hosts
        self._ids = ids
        self._closed = desk.required
        self._known = desk.verifier.known
        private = [(b"cache-control", b"no-store")] if desk.required else []
        self._headers = [*security, *private]
        self._timing = metrics.timing("GET", ROUTE, 200)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # One coroutine on purpose: each further one costs as much as the lookup itself.
        began = perf_counter()
        answer = self._answer(scope) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        self._pace.requests += 1
        headers = [*answer.headers, *self._headers, (b"x-request-id", self._ids.next())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(answer.message)
        self._timing.add(perf_counter() - began)

    def _answer(self, scope: Scope) -> Answer | None:
        """The answer, or None for what the app behind shall judge."""
        path: str = scope["path"]
        if not (path.endswith(SUFFIX) and path.startswith(PREFIX) and scope["method"] == "GET"):
            return None
        if not self._allowed(scope["headers"]):
            return None
        customer_id, query = path[_START:_END], scope["query_string"]
        if not query:
            ready = self._engine.ready(customer_id)
            if ready is not None:
                return ready
        count = self._count(query)
        if not count or not 0 < len(customer_id) <= _MAX_ID:
            return None
        return self._engine.answer(customer_id, count)

    def _count(self, query: bytes) -> int:
        """The slate's length; 0: not for the fast lane."""
        if not query:
            return self._engine.count
        name, _, value = query.partition(b"=")
        if name == b"count" and value.isdigit() and len(value) <= 3:
            count = int(value)
            return count if count <= _MAX_COUNT else 0
        return 0

    def _allowed(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Ours by its host, without an id of its own to hand back, and by somebody known.

        A key that is not in memory goes the long way once; so do browsers, always.
        """
        found, open_to_all = False, not self._closed
        for name, value in headers:
            if name == b"host":
                if not self._hosts.allow(value):
                    return False
                found = True
            elif name == b"authorization":
                caller = self._known(value[7:]) if value[:7].lower() == b"bearer " else None
                if caller is None or "recommend" not in caller.permissions:
                    return False
                open_to_all = True
            elif name == b"x-request-id":
                return False
        return found and open_to_all
