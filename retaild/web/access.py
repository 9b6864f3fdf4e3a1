"""Signing in and out; the panel's users, API keys and sessions, and the audit log."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from retaild.api.errors import RetaildError
from retaild.api.identity import ROLES, Role
from retaild.runtime.access.caller import current_caller
from retaild.runtime.access.cookies import CookieNames
from retaild.runtime.access.desk import ATTEMPT_SECONDS, BROWSER_SECONDS
from retaild.runtime.access.errors import CsrfError, ThrottledError
from retaild.runtime.access.identity import known_roles
from retaild.runtime.access.needs import PUBLIC
from retaild.web.accessview import AccessData
from retaild.web.admin import panel_page
from retaild.web.forms import Form, local_path, read_form
from retaild.web.paging import Paging, page_number
from retaild.web.render import HEADERS, Renderer, see_other

ENTRIES = 50
HOME = "/recommendations"


def routes(data: AccessData, renderer: Renderer) -> list[Route]:
    door, panel = Door(data, renderer), Panel(data, renderer)
    public = partial(renderer.guarded, needs_engine=False, needs=PUBLIC)
    guarded = partial(renderer.guarded, needs_engine=False)
    acts = {
        "/admin/access/users": (panel.add_user, "user.add"),
        "/admin/access/users/change": (panel.change_user, "user.change"),
        "/admin/access/users/remove": (panel.remove_user, "user.remove"),
        "/admin/access/keys": (panel.create_key, "key.create"),
        "/admin/access/keys/revoke": (panel.revoke_key, "key.revoke"),
        "/admin/access/sessions/end": (panel.end_session, "session.revoke"),
    }
    shown = {"/admin/access": panel.people, "/admin/audit": panel.audit}
    return [
        Route("/login", public(door.login), methods=["POST"]),
        Route("/login", public(door.show)),
        Route("/login/start", public(door.start)),
        Route("/login/callback", public(door.callback)),
        Route("/login/refused", public(door.refused)),
        Route("/logout", public(door.logout), methods=["POST"]),
        *(
            Route(path, guarded(act, needs="administer", audit=what), methods=["POST"])
            for path, (act, what) in acts.items()
        ),
        *(Route(path, guarded(show, needs="administer")) for path, show in shown.items()),
    ]


class Door:
    """The pages that are open to everybody."""

    def __init__(self, data: AccessData, renderer: Renderer) -> None:
        self._data = data
        self._renderer = renderer
        self._cookies = CookieNames.of(data.secure)

    async def show(self, request: Request) -> Response:
        return await self._page(
            request, onward=local_path(request.query_params.get("next", ""), "")
        )

    async def _page(
        self, request: Request, *, onward: str, status: int = 200, name: str = "",
        fault: RetaildError | None = None,
    ) -> Response:  # fmt: skip
        cookie = request.cookies.get(self._cookies.attempt, "")
        state = self._data.begun(cookie) if cookie else ""
        if not state:
            cookie, attempt = self._data.attempt(onward)
            state = attempt["state"]
        try:
            abilities = await self._data.abilities() if self._data.required else {}
            nobody = bool(abilities) and await self._data.nobody_yet()
        except RetaildError as error:
            abilities, nobody, fault = {}, False, error
        response = await self._renderer.page(
            request, "login.html", status=status, section="", onward=onward, attempt=state,
            abilities=abilities, nobody=nobody, fault=fault, name=name,
            required=self._data.required, signed_in=current_caller() if _session() else None,
        )  # fmt: skip
        self._set(response, self._cookies.attempt, cookie, ATTEMPT_SECONDS)
        return response

    async def login(self, request: Request) -> Response:
        form = await read_form(request)
        onward, name = local_path(form.one("next"), ""), form.one("name")
        try:
            self._data.attempted(
                request.cookies.get(self._cookies.attempt, ""), form.one("attempt")
            )
            entered = await self._data.login(
                name, form.raw("password"), _address(request),
                request.cookies.get(self._cookies.browser, ""),
            )  # fmt: skip
        except RetaildError as error:
            return await self._failed(request, onward, name, error)
        response = see_other(onward or HOME)
        self._set(response, self._cookies.browser, entered.browser, BROWSER_SECONDS)
        return self._enter(response, entered.token)

    async def _failed(
        self, request: Request, onward: str, name: str, error: RetaildError
    ) -> Response:
        status = 429 if isinstance(error, ThrottledError) else 401
        status = 503 if error.key == "identity.not_ready" else status
        response = await self._page(request, onward=onward, status=status, name=name, fault=error)
        if isinstance(error, ThrottledError):
            response.headers["retry-after"] = str(error.seconds)
        return response

    async def start(self, request: Request) -> Response:
        """Off to the identity provider's own page."""
        onward = local_path(request.query_params.get("next", ""), "")
        cookie, attempt = self._data.attempt(onward)
        try:
            address = await self._data.begin(self._callback(request), attempt)
        except RetaildError as error:
            return await self._failed(request, onward, "", error)
        response = see_other(address)
        self._set(response, self._cookies.attempt, cookie, ATTEMPT_SECONDS)
        return response

    async def callback(self, request: Request) -> Response:
        """Back from there."""
        asked = request.query_params
        cookie = request.cookies.get(self._cookies.attempt, "")
        try:
            attempt = self._data.attempted(cookie, asked.get("state", ""))
            if "code" not in asked:
                raise ProviderError(asked.get("error", ""))
            token = await self._data.finish(
                self._callback(request), asked["code"], attempt, _address(request)
            )
        except RetaildError as error:
            return await self._failed(request, "", "", error)
        return self._enter(see_other(local_path(attempt["next"], "") or HOME), token)

    def _enter(self, response: Response, token: str) -> Response:
        self._set(response, self._cookies.session, token, None)
        self._drop(response, self._cookies.attempt)
        return response

    async def logout(self, request: Request) -> Response:
        form = await read_form(request)
        if not _session() or form.one("csrf") != current_caller().csrf:
            raise CsrfError
        onward = await self._data.logout(self._base(request) + "/login?done=signed-out")
        if onward:
            # A page and not a redirect: browsers hold `form-action` against where a form leads.
            response = await self._renderer.page(
                request, "logged-out.html", section="", onward=onward
            )
        else:
            response = see_other("/login?done=signed-out")
        self._drop(response, self._cookies.session)
        return response

    async def refused(self, request: Request) -> Response:
        """Shown in the place of a page that the caller may not see."""
        error = request.scope.get("refused")
        if not isinstance(error, RetaildError):
            return RedirectResponse("/", status_code=303, headers=HEADERS)
        return await self._renderer.error(request, 403, error)

    def _base(self, request: Request) -> str:
        host = request.headers.get("host", "")
        return self._data.public_url or f"{'https' if self._data.secure else 'http'}://{host}"

    def _callback(self, request: Request) -> str:
        return self._base(request) + "/login/callback"

    def _set(self, response: Response, name: str, value: str, seconds: float | None) -> None:
        response.set_cookie(
            name, value, max_age=None if seconds is None else int(seconds), path="/",
            secure=self._data.secure, httponly=True, samesite="lax",
        )  # fmt: skip

    def _drop(self, response: Response, name: str) -> None:
        response.delete_cookie(
            name, path="/", secure=self._data.secure, httponly=True, samesite="lax"
        )


class ProviderError(RetaildError):
    key = "access.provider"

    def __init__(self, reason: str) -> None:
        said = f" ({reason[:100]})" if reason else ""
        super().__init__(f"The identity provider let nobody in{said}.", hint="Sign in once more.")


class Panel:
    """Users, keys and sessions on one page; the audit log on another."""

    def __init__(self, data: AccessData, renderer: Renderer) -> None:
        self._data = data
        self._renderer = renderer

    async def people(self, request: Request) -> Response:
        return await self._people(request)

    async def _people(self, request: Request, created: tuple[dict[str, Any], str] | None = None
                      ) -> Response:  # fmt: skip
        users: list[dict[str, Any]] = []
        fault: RetaildError | None = None
        try:
            if (await self._data.abilities())["directory"]:
                users = await self._data.users()
        except RetaildError as error:
            fault = error
        return await panel_page(
            self._renderer, request, "access", users=users, fault=fault, roles=ROLES,
            keys=await self._data.keys(), sessions=await self._data.sessions(), created=created,
            permissions=self._data.permissions, required=self._data.required,
            own=current_caller().session.hex()[:16],
        )  # fmt: skip

    async def add_user(self, request: Request) -> Response:
        form = await read_form(request)
        await self._data.add_user(form.one("name"), form.raw("password"), _roles(form))
        return see_other("/admin/access?done=user-added#users")

    async def change_user(self, request: Request) -> Response:
        """`action` is role, password, disable or enable, of the user `name`."""
        form = await read_form(request)
        name, action = form.one("name"), form.one("action")
        if action == "password":
            await self._data.change_user(name, password=form.raw("password"))
        elif action in ("disable", "enable"):
            await self._data.change_user(name, disabled=action == "disable")
        else:
            await self._data.change_user(name, roles=_roles(form))
        return see_other("/admin/access?done=user-changed#users")

    async def remove_user(self, request: Request) -> Response:
        form = await read_form(request)
        await self._data.remove_user(form.one("name"))
        return see_other("/admin/access?done=user-changed#users")

    async def create_key(self, request: Request) -> Response:
        """Shows the key: it can be read here and never again."""
        form = await read_form(request)
        days = float(form.one("days")) if form.one("days").isdigit() else None
        created = await self._data.create_key(form.one("name"), list(form.all("scope")), days)
        return await self._people(request, created)

    async def revoke_key(self, request: Request) -> Response:
        form = await read_form(request)
        await self._data.revoke_key(form.one("id"))
        return see_other("/admin/access?done=key-revoked#keys")

    async def end_session(self, request: Request) -> Response:
        form = await read_form(request)
        await self._data.end_session(form.one("id"))
        return see_other("/admin/access?done=session-ended#sessions")

    async def audit(self, request: Request) -> Response:
        asked = request.query_params
        kept = {name: asked.get(name, "") for name in ("who", "what", "q")}
        number = page_number(asked.get("page"))
        found = await self._data.audit(
            who=kept["who"], what=kept["what"], search=kept["q"], limit=ENTRIES,
            offset=(number - 1) * ENTRIES,
        )  # fmt: skip
        return await panel_page(
            self._renderer, request, "audit", entries=found["entries"], asked=kept,
            kinds=await self._data.audit_kinds(),
            paging=Paging("/admin/audit", kept, number, ENTRIES, found["total"]),
        )  # fmt: skip


def _roles(form: Form) -> frozenset[Role]:
    return known_roles(form.all("role"))


def _session() -> bool:
    return bool(current_caller().session)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
