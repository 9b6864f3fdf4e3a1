"""The configuration's panel: what is in force, what the files say, and the button between."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web.admin import panel_page
from retaild.web.render import Renderer, see_other
from retaild.web.views import ConfigData


def routes(data: ConfigData, renderer: Renderer) -> list[Route]:
    async def show(request: Request) -> Response:
        current = await data.configuration()
        stated = [setting for setting in current["settings"] if setting["file"]]
        return await panel_page(
            renderer, request, "config",
            current=current, stated=stated, history=await data.history(),
            diff=await data.diff(), last=await data.last_reload(),
        )  # fmt: skip

    async def reload(_: Request) -> Response:
        await data.reload()
        return see_other("/admin/config?done=reloading")

    guarded = partial(renderer.guarded, needs_engine=False)
    return [
        Route("/admin/config", guarded(reload, needs="administer"), methods=["POST"]),
        Route("/admin/config", guarded(show, needs="view")),
    ]
