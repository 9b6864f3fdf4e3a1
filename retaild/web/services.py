"""The services' panel: the pipeline as it runs, and the servers that retaild keeps for it.

Its buttons are those of the instances' panel, which come back here.
"""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web.admin import panel_page
from retaild.web.render import Renderer
from retaild.web.views import ServicesData


def routes(data: ServicesData, renderer: Renderer) -> list[Route]:
    async def show(request: Request) -> Response:
        found = await data.services()
        down = [row for row in found["services"] if row["state"] != "running"]
        return await panel_page(
            renderer, request, "services", rows=found["services"], parts=found["parts"], down=down
        )

    return [Route("/admin/services", partial(renderer.guarded, needs_engine=False)(show))]
