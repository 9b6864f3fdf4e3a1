"""Who may ask what: every request is judged here, before its body is read and its route runs.

A REST route declares `dependencies=[needs("operate", audit="job.run")]`, a page
`renderer.guarded(..., needs=...)`. What declares nothing is closed to all but administrators (a
page to look at: to all but viewers). Changes are written to the audit log before they are answered.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retaild.api.errors import RetaildError
from retaild.rest.problems import MEDIA_TYPE, problem_bytes
from retaild.runtime.access.audit import Note, noting, record
from retaild.runtime.access.caller import ANYONE, Caller, set_caller
from retaild.runtime.access.cookies import CookieNames
from retaild.runtime.access.desk import AccessDesk
from retaild.runtime.access.errors import (
    CsrfError,
    ForbiddenError,
    IdentityDownError,
    NotSignedInError,
)
from retaild.runtime.access.identity import RefusedError
from retaild.runtime.access.needs import Needs
from retaild.runtime.access.permissions import Permission

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Of a form so much is read to find its token, and of any body to note what was asked.
MAX_FORM_BYTES = 256 * 1024
#: The page that says why a page may not be seen. It is shown in the place of the page.
REFUSED = "/login/refused"
NOBODY = Caller("nobody", "web", frozenset())
_FORM = b"application/x-www-form-urlencoded"
#: Fields of a request that the audit log never shows.
_HIDDEN = re.compile("password|secret|token|csrf|key$", re.IGNORECASE)
_SHOWN_CHARACTERS = 500


class _Declaration:
    """Found by `Rules` among a route's dependencies; there is nothing left to do at run time."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs

    async def __call__(self) -> None:
        return None


def needs(permission: Permission | None, audit: str = "") -> Any:
    """Declares what a route needs: `dependencies=[needs("view")]`. None: open to everybody."""
    return Depends(_Declaration(Needs(permission, audit)))


@dataclass(frozen=True)
class Rule:
    """What a route needs. `declared` False: it says nothing of it, and got the strictest."""

    methods: frozenset[str]
    path: str
    pattern: re.Pattern[str]
    needs: Needs
    page: bool
    declared: bool = True

    @property
    def changes(self) -> bool:
        return not self.methods <= SAFE


class Rules:
    """The rules of an application's routes, in its order: the first that fits counts."""

    def __init__(self, app: FastAPI) -> None:
        self.rules = [_rule(route) for route in iter_route_contexts(app.routes)]

    def find(self, method: str, path: str) -> tuple[Rule | None, Mapping[str, str]]:
        for rule in self.rules:
            if method in rule.methods and (match := rule.pattern.match(path)):
                return rule, match.groupdict()
        return None, {}


def _rule(route: Any) -> Rule:
    original = getattr(route, "original_route", route)
    methods = frozenset(route.methods or ())
    page = not isinstance(original, APIRoute) and not route.path.startswith("/api/")
    found = _declared(route, original)
    fallback = Needs("view" if methods <= SAFE else "administer")
    if found is None and not methods <= SAFE:
        fallback = Needs("administer", f"{'/'.join(sorted(methods - SAFE))} {route.path}")
    return Rule(
        methods, route.path_format, route.path_regex, found or fallback, page, found is not None
    )


def _declared(route: Any, original: Any) -> Needs | None:
    """The route's own declaration wins over that of the router it belongs to."""
    for dependency in reversed(list(getattr(route, "dependencies", None) or ())):
        if isinstance(dependency.dependency, _Declaration):
            return dependency.dependency.needs
    for place in (original, getattr(original, "endpoint", None)):
        found = getattr(place, "needs", None)
        if isinstance(found, Needs):
            return found
    return None


def describe(app: FastAPI, rules: Rules, secure: bool) -> None:
    """Put permissions and ways to sign in into the OpenAPI document."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = original()
        document.setdefault("components", {})["securitySchemes"] = _schemes(secure)
        for rule in rules.rules:
            for method in rule.methods:
                operation = document["paths"].get(rule.path, {}).get(method.lower())
                if operation is not None:
                    operation.update(_described(rule.needs))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _schemes(secure: bool) -> dict[str, Any]:
    said = "An API key (`retaild_...`) or an access token of the identity provider."
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": said},
        "session": {"type": "apiKey", "in": "cookie", "name": CookieNames.of(secure).session},
    }


def _described(needs: Needs) -> dict[str, Any]:
    if needs.permission is None:
        return {"security": []}
    return {"x-permission": needs.permission, "security": [{"bearer": []}, {"session": []}]}


class Guard:
    """Wraps the application. `rules` are those of its routes."""

    def __init__(self, app: ASGIApp, rules: Rules, desk: AccessDesk) -> None:
        self._app = app
        self._rules = rules
        self._desk = desk
        self._cookie = CookieNames.of(desk.secure).session.encode() + b"="

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        rule, values = self._rules.find(scope["method"], scope["path"])
        try:
            caller = await self._caller(headers, rule)
            receive, body = await self._judge(caller, rule, scope, headers, receive)
        except RetaildError as error:
            await self._refuse(error, rule, scope, receive, send)
            return
        set_caller(caller)
        if rule is None or not rule.needs.audit or not rule.changes:
            await self._app(scope, receive, send)
            return
        with noting() as notes:
            change = _Audited(
                self._desk, caller, rule, values, body, notes, scope.get("request_id", "")
            )  # fmt: skip
            await self._app(scope, body.reading(receive), change.before(send))

    async def _caller(self, headers: dict[bytes, bytes], rule: Rule | None) -> Caller:
        """Who asks. Raises NotSignedInError for credentials that are not good."""
        public = rule is not None and rule.needs.permission is None
        given = headers.get(b"authorization")
        if given is not None:
            try:
                return await self._bearer(given)
            except RetaildError:
                if not public:
                    raise
        token = self._session(headers.get(b"cookie", b""))
        found = await self._known(token) if token else None
        return found or (NOBODY if self._desk.required else ANYONE)

    async def _bearer(self, given: bytes) -> Caller:
        scheme, _, token = given.partition(b" ")
        verifier = self._desk.verifier
        if scheme.lower() != b"bearer":
            raise NotSignedInError("Only the scheme Bearer is understood.")
        caller = verifier.known(token.strip())
        if caller is None:
            text = token.strip().decode("latin-1")
            try:
                caller = await asyncio.to_thread(verifier.find_bearer, text)
            except (IdentityDownError, RefusedError) as error:
                if error.key == "identity.not_ready":
                    raise
        if caller is None:
            raise NotSignedInError("The key or token is not good, or not any more.")
        return caller

    def _session(self, cookies: bytes) -> bytes:
        """The session's token among the cookies."""
        for cookie in cookies.split(b";"):
            text = cookie.strip()
            if text.startswith(self._cookie):
                return text[len(self._cookie) :]
        return b""

    async def _known(self, token: bytes) -> Caller | None:
        verifier = self._desk.verifier
        found = verifier.known(token)
        if found is None:
            found = await asyncio.to_thread(verifier.find_session, token.decode("latin-1"))
        return found if found is not None and found.via == "web" else None

    async def _judge(
        self, caller: Caller, rule: Rule | None, scope: Scope, headers: dict[bytes, bytes],
        receive: Receive,
    ) -> tuple[Receive, _Body]:  # fmt: skip
        """Raises NotSignedInError, ForbiddenError, CsrfError; else what is left to receive."""
        body = _Body(headers)
        unsafe = scope["method"] not in SAFE
        needed = rule.needs if rule else Needs("administer" if unsafe else "view")
        if needed.permission is not None and not caller.may(needed.permission):
            if caller is NOBODY:
                raise NotSignedInError
            raise ForbiddenError(caller.who, needed.permission)
        if unsafe and caller.session and not (rule and rule.needs.permission is None):
            receive = await _own_page(caller, headers, body, receive)
        return receive, body

    async def _refuse(
        self, error: RetaildError, rule: Rule | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        status = _STATUS.get(type(error), 403 if error.key.startswith("access.") else 503)
        if rule is not None and rule.page and status in (401, 403):
            if status == 401:
                await _redirect(_login(scope), send)
                return
            if self._rules.find("GET", REFUSED)[0] is not None:
                shown = {**scope, "path": REFUSED, "raw_path": REFUSED.encode(), "method": "GET"}
                await self._app({**shown, "refused": error}, receive, send)
                return
        await _problem(status, error, send)


_STATUS = {NotSignedInError: 401, ForbiddenError: 403, CsrfError: 403}
_CHALLENGE = b'Bearer realm="retaild"'


async def _problem(status: int, error: RetaildError, send: Send) -> None:
    body = problem_bytes(status, error.key, error.message, error.hint)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", _CHALLENGE))
    elif isinstance(error, ForbiddenError):
        headers.append((b"www-authenticate", _CHALLENGE + b', error="insufficient_scope"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _redirect(address: str, send: Send) -> None:
    headers = [(b"location", address.encode()), (b"content-length", b"0")]
    headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _login(scope: Scope) -> str:
    """Back to the page afterwards; a form is not sent twice, its page is shown again."""
    path = quote(scope["path"], safe="/")
    if scope["query_string"] and scope["method"] in SAFE:
        path += "?" + scope["query_string"].decode("latin-1")
    return f"/login?next={quote(path, safe='/')}" if path != "/" else "/login"


class _Body:
    """The first bytes of a body, as they pass by."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._form = headers.get(b"content-type", b"").split(b";")[0].strip().lower() == _FORM
        self._taken = bytearray()
        self._noted = False

    @property
    def is_form(self) -> bool:
        return self._form

    def take(self, message: Message) -> None:
        if message["type"] == "http.request" and len(self._taken) <= MAX_FORM_BYTES:
            self._taken += message.get("body", b"")

    def reading(self, receive: Receive) -> Receive:
        """`receive`, with what comes taken note of."""
        if self._noted:
            return receive

        async def noting_receive() -> Message:
            message = await receive()
            self.take(message)
            return message

        return noting_receive

    async def read_all(self, receive: Receive) -> Receive:
        """Read it to the end now; what is returned gives it once more."""
        messages = []
        self._noted = True
        while True:
            message = await receive()
            messages.append(message)
            self.take(message)
            if not message.get("more_body") or len(self._taken) > MAX_FORM_BYTES:
                break

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        return again

    def fields(self) -> dict[str, Any]:
        """What was asked, without secrets and in bounds."""
        if len(self._taken) > MAX_FORM_BYTES:
            return {}
        try:
            if self._form:
                fields: Any = {k: v if len(v) > 1 else v[0] for k, v in self._parsed().items()}
            else:
                fields = json.loads(self._taken or b"{}")
        except ValueError:
            return {}
        return _shown(fields) if isinstance(fields, dict) else {}

    def one(self, name: str) -> str:
        return next(iter(self._parsed().get(name, [])), "")

    def _parsed(self) -> dict[str, list[str]]:
        return parse_qs(self._taken.decode("utf-8", "replace"), keep_blank_values=True)


def _shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    shown = {}
    for name, value in list(fields.items())[:50]:
        if _HIDDEN.search(name):
            continue
        text = json.dumps(value, default=str)
        shown[name] = value if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return shown


async def _own_page(
    caller: Caller, headers: Mapping[bytes, bytes], body: _Body, receive: Receive
) -> Receive:
    """Raises CsrfError unless the request holds the session's token, in a header or its form."""
    given = headers.get(b"x-csrf-token", b"").decode("latin-1")
    if not given and body.is_form:
        receive = await body.read_all(receive)
        given = body.one("csrf")
    # Both are random; how long the comparison takes says nothing that helps.
    if given != caller.csrf or not given:
        raise CsrfError
    return receive


@dataclass
class _Audited:
    """A change on its way: what came of it is written down before it is answered."""

    desk: AccessDesk
    caller: Caller
    rule: Rule
    values: Mapping[str, str]
    body: _Body
    notes: list[Note]
    request_id: str

    def before(self, send: Send) -> Send:
        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                await asyncio.to_thread(self._record)
            await send(message)

        return recorded

    def _record(self) -> None:
        fields = self.body.fields()
        via = "web" if self.rule.page else self.caller.via
        target = "/".join(self.values.values()) or str(fields.get("name") or fields.get("id") or "")
        # A page's answer may say that nothing was done: there the notes alone tell of a change.
        plain = [] if self.rule.page and self.rule.declared else [Note(target, None, fields)]
        for note in self.notes or plain:
            record(
                self.desk.state, self.caller.who, self.rule.needs.audit, note.target,
                via=via, before=note.before, after=note.after, request_id=self.request_id,
            )  # fmt: skip


def names_of(url: str, more: Iterable[str]) -> set[str]:
    """Host names that the server answers to besides its own."""
    found = {name.lower() for name in more}
    if url:
        host = urlsplit(url).hostname or ""
        found.add(f"[{host}]" if ":" in host else host)
    return found
