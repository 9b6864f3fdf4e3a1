"""The backups' panel: what there is, how old it is, whether it was read, and how to restore."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web.admin import panel_page
from retaild.web.forms import read_form
from retaild.web.render import Renderer, see_other
from retaild.web.views import BackupsData

RUNS = 5


def routes(data: BackupsData, renderer: Renderer) -> list[Route]:
    async def show(request: Request) -> Response:
        found, runs = await data.backups(), await data.runs(RUNS)
        running = any(run["state"] in ("queued", "running") for run in runs)
        return await panel_page(
            renderer, request, "backups", directory=found["directory"], rows=found["backups"],
            runs=runs, running=running,
        )  # fmt: skip

    async def take(_: Request) -> Response:
        return see_other(f"/admin/backups?done=started&n={await data.take()}")

    async def verify(request: Request) -> Response:
        form = await read_form(request)
        return see_other(f"/admin/backups?done=started&n={await data.verify(form.one('name'))}")

    guarded = partial(renderer.guarded, needs_engine=False)
    acting = partial(guarded, needs="operate")
    return [
        Route("/admin/backups/verify", acting(verify, audit="backup.verify"), methods=["POST"]),
        Route("/admin/backups", acting(take, audit="backup.create"), methods=["POST"]),
        Route("/admin/backups", guarded(show)),
    ]
