"""In front of every route: whose host and origin, how large, which id, how long it took.

Plain ASGI: no request object is made for what is refused.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
from collections.abc import Iterable, Sequence
from time import perf_counter
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retaild.api.errors import RetaildError
from retaild.rest.metrics import Metrics
from retaild.rest.problems import MEDIA_TYPE, problem_bytes
from retaild.runtime.serving.pace import Pace

_ALL_INTERFACES = ("0.0.0.0", "::")
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,100}\Z")


class Hosts:
    """Names that the server answers to, with any port. Others are DNS rebinding or a mistake."""

    def __init__(self, configured: str, more: Iterable[str] = ()) -> None:
        """`configured`: where it listens; `more`: names that it is reached by besides."""
        names = [configured, *(_own_addresses() if configured in _ALL_INTERFACES else ())]
        bracketed = (f"[{name}]" if ":" in name else name for name in names)
        self._names = frozenset((*_LOCAL, *(name.lower() for name in (*bracketed, *more))))
        self._known: dict[bytes, bool] = {}

    def allow(self, host: bytes) -> bool:
        known = self._known.get(host)
        if known is None:
            known = self._judge(host)
            if len(self._known) < 1000:
                self._known[host] = known
        return known

    def _judge(self, host: bytes) -> bool:
        text = host.decode("latin-1").lower()
        if text.startswith("["):
            name, _, rest = text.partition("]")
            name += "]"
            return name in self._names and (not rest or rest.startswith(":"))
        return text.partition(":")[0] in self._names


def _own_addresses() -> list[str]:
    """What this machine is called and reached by."""
    import psutil

    addresses = [
        found.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for found in interface
        if found.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return [*addresses, socket.gethostname()]


def security_headers(secure: bool) -> list[tuple[bytes, bytes]]:
    """On every answer. `secure`: browsers speak TLS with us, and shall never do otherwise."""
    transport = b"max-age=31536000"
    return [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
        *([(b"strict-transport-security", transport)] if secure else []),
    ]


class RequestIds:
    """Ids for requests that bring none: unique within this process, telling processes apart."""

    def __init__(self) -> None:
        self._prefix = os.urandom(4).hex()
        self._numbers = itertools.count(1)

    def next(self) -> bytes:
        return f"{self._prefix}-{next(self._numbers):x}".encode()


class TooLargeError(RetaildError):
    """Raised where the body is read, when it grew beyond the limit while it came in."""

    key = "request.too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The body is larger than {limit} bytes.",
            hint="Send it in parts, or import a file with `retaildctl import`.",
        )


class Gate:
    """Wraps an app. `max_body` is in bytes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Hosts,
        ids: RequestIds,
        pace: Pace,
        metrics: Metrics,
        max_body: int,
        security: Sequence[tuple[bytes, bytes]] = (),
        private: bool = False,
    ) -> None:
        """`security`: headers of every answer; `private`: no answer is kept anywhere unless it
        says so itself."""
        self._app = app
        self._security = [*security, *([(b"cache-control", b"no-store")] if private else [])]
        self._hosts = hosts
        self._ids = ids
        self._pace = pace
        self._metrics = metrics
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._pace.requests += 1
        await _Passage(self, scope, receive, send).run()

    def refusal(
        self, scope: Scope, headers: dict[bytes, bytes]
    ) -> tuple[int, str, str, str] | None:
        """Why the request may not pass: (status, key, detail, hint)."""
        host = headers.get(b"host", b"")
        if not self._hosts.allow(host):
            return (
                421, "request.host",
                f"This server does not answer as {host.decode('latin-1')[:100]!r}.",
                "Ask it by localhost, 127.0.0.1 or its configured address.",
            )  # fmt: skip
        if scope["method"] not in _SAFE_METHODS and _foreign(headers, host):
            return (
                403, "request.origin", "Another site's page tried to act here.",
                "Use retaild's own pages, or a client that sends no Origin.",
            )  # fmt: skip
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body:
            error = TooLargeError(self._max_body)
            return 413, error.key, error.message, error.hint
        return None


class _Passage:
    """One request on its way through the gate."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate, self._scope, self._receive, self._send = gate, scope, receive, send
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self._headers.get(b"x-request-id", b"")
        self._id = given if _REQUEST_ID.match(given) else gate._ids.next()
        self._began = perf_counter()
        self._received = 0

    async def run(self) -> None:
        refusal = self._gate.refusal(self._scope, self._headers)
        if refusal is not None:
            await self._refuse(*refusal)
            return
        self._scope["request_id"] = self._id.decode("ascii")
        await self._gate._app(self._scope, self._take, self._give)

    async def _take(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._gate._max_body:
                raise TooLargeError(self._gate._max_body)
        return message

    async def _give(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            own = message.get("headers", ())
            stated = {name.lower() for name, _ in own}
            more = (header for header in self._gate._security if header[0] not in stated)
            message["headers"] = [*own, *more, (b"x-request-id", self._id)]
            route = getattr(self._scope.get("route"), "path", "other")
            method, status = self._scope["method"], message["status"]
            timing = self._gate._metrics.timing(method, route, status)
            timing.add(perf_counter() - self._began)
        await self._send(message)

    async def _refuse(self, status: int, key: str, detail: str, hint: str) -> None:
        body = problem_bytes(status, key, detail, hint)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            # The rest of the body is not read: this connection has no next request.
            (b"connection", b"close"),
        ]
        await self._give({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _foreign(headers: dict[bytes, bytes], host: bytes) -> bool:
    """A browser says so of a page of another site; command line clients say nothing."""
    if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
        return True
    origin = headers.get(b"origin")
    if origin is None:
        return False
    return urlsplit(origin.decode("latin-1")).netloc != host.decode("latin-1")
