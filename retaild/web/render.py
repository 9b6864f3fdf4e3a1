"""From a template to a response, with the headers that every page carries."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from jinja2 import Environment
from markupsafe import escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from retaild.api.errors import RetaildError
from retaild.runtime.access.caller import current_caller
from retaild.runtime.access.needs import Needs
from retaild.runtime.access.permissions import Permission
from retaild.web.flash import flash_of
from retaild.web.formatting import Formats
from retaild.web.views import STARTING, NotFoundError, NotReadyError, PageData

Handler = Callable[[Request], Awaitable[Response]]

log = logging.getLogger(__name__)

#: No inline script or style, nothing from anywhere else, no framing, forms only to ourselves.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    # Pages show people's purchases: no proxy keeps them, and "back" shows the present.
    "cache-control": "no-store",
}
THEMES = ("light", "dark")


class BrokenPageError(RetaildError):
    key = "page.broken"

    def __init__(self) -> None:
        super().__init__("This page could not be made.", hint="The server's log has the reason.")


class Renderer:
    """Renders templates for requests. `formats` is the shop's."""

    def __init__(self, env: Environment, data: PageData, formats: Formats) -> None:
        self._env = env
        self._data = data
        self.formats = formats

    async def page(
        self, request: Request, template: str, *, status: int = 200, **context: Any
    ) -> Response:
        theme = request.cookies.get("theme", "")
        level, health = await self._data.health()
        caller = current_caller()
        body = self._env.get_template(template).render(
            caller=caller,
            path=request.url.path,
            here=str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
            theme=theme if theme in THEMES else "",
            flash=flash_of(request.query_params),
            health={"level": level, "text": health},
            **context,
        )
        return HTMLResponse(with_token(body, caller.csrf), status_code=status, headers=HEADERS)

    def fragment(self, template: str, **context: Any) -> Response:
        """A piece of a page, for the script to put in its place."""
        body = self._env.get_template(template).render(**context)
        return HTMLResponse(with_token(body, current_caller().csrf), headers=HEADERS)

    def guarded(
        self,
        handler: Handler,
        *,
        needs_engine: bool = True,
        needs: Permission | Needs | None = None,
        audit: str = "",
    ) -> Handler:
        """The handler, with every error turned into a page that says what to do.

        `needs`: the permission that it takes, by default "view" to look and "administer" to act;
        `audit`: what the audit log calls the change that it makes ("job.run").
        """

        async def respond(request: Request) -> Response:
            try:
                if needs_engine and (await self._data.health())[1] == STARTING:
                    raise NotReadyError
                return await handler(request)
            except NotFoundError as error:
                return await self.error(request, 404, error)
            except NotReadyError as error:
                return await self.error(request, 503, error)
            except RetaildError as error:
                # The house's keys end so where an id is not known.
                status = 404 if error.key.endswith(".unknown") else 409
                return await self.error(request, status, error)
            except Exception:
                log.exception("Page %s failed", request.url.path)
                return await self.error(request, 500, BrokenPageError())

        if needs is not None:
            declared = needs if isinstance(needs, Needs) else Needs(needs, audit)
            respond.needs = declared  # type: ignore[attr-defined]
        return respond

    async def error(self, request: Request, status: int, error: RetaildError) -> Response:
        return await self.page(
            request, "error.html", status=status, error=error, code=status, section=""
        )


def with_token(body: str, csrf: str) -> str:
    """Every form that changes something says that it was made for this session.

    Done to the finished page: no template can forget it.
    """
    if not csrf:
        return body
    return _POST_FORM.sub(rf'\g<0><input type="hidden" name="csrf" value="{escape(csrf)}">', body)


_POST_FORM = re.compile(r'<form\b[^>]*\bmethod="post"[^>]*>')


def see_other(url: str) -> Response:
    """After a form: show the page again (303), so that a reload does not send it twice."""
    return RedirectResponse(url, status_code=303, headers=HEADERS)
