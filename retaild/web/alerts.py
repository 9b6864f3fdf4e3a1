"""The alerts' panel: what is open, what was, who was told, and quieting it."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web.admin import panel_page
from retaild.web.forms import read_form
from retaild.web.render import Renderer, see_other
from retaild.web.views import AlertsData, NotFoundError

HISTORY = 20
MESSAGES = 20
#: What the form offers: seconds -> words.
SPANS = {1800: "30 minutes", 7200: "2 hours", 28_800: "8 hours", 86_400: "a day", 604_800: "a week"}


def routes(data: AlertsData, renderer: Renderer) -> list[Route]:
    page = AlertPages(data, renderer)
    guarded = partial(renderer.guarded, needs_engine=False)
    acted = {"acknowledge": page.acknowledge, "silence": page.silence, "unsilence": page.unsilence}
    return [
        *(
            Route(
                f"/admin/alerts/{name}",
                guarded(act, needs="operate", audit=f"alert.{name}"),
                methods=["POST"],
            )
            for name, act in acted.items()
        ),
        Route("/admin/alerts", guarded(page.show)),
    ]


class AlertPages:
    def __init__(self, data: AlertsData, renderer: Renderer) -> None:
        self._data, self._renderer = data, renderer

    async def show(self, request: Request) -> Response:
        return await panel_page(
            self._renderer, request, "alerts",
            alerts=await self._data.alerts(), over=await self._data.alerts(HISTORY),
            silences=await self._data.silences(), sinks=await self._data.sinks(),
            messages=await self._data.messages("", MESSAGES), spans=SPANS,
        )  # fmt: skip

    async def acknowledge(self, request: Request) -> Response:
        form = await read_form(request)
        await self._data.acknowledge(_number("alert", form.one("id")))
        return see_other("/admin/alerts?done=acknowledged")

    async def silence(self, request: Request) -> Response:
        """What has the key `key` or begins with it, for `seconds`."""
        form = await read_form(request)
        key, span = form.one("key"), _number("span", form.one("seconds"))
        if not key or span not in SPANS:
            raise NotFoundError("silence", key)
        await self._data.silence(key[:500], "", "", span, form.one("comment")[:500])
        return see_other("/admin/alerts?done=silenced")

    async def unsilence(self, request: Request) -> Response:
        form = await read_form(request)
        await self._data.unsilence(_number("silence", form.one("id")))
        return see_other("/admin/alerts?done=unsilenced")


def _number(what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFoundError(what, text)
    return int(text)
