"""The instances' panel: every plugin at work in a process of its own, and its buttons."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.runtime.access.permissions import Permission
from retaild.web.admin import panel_page
from retaild.web.forms import read_form
from retaild.web.render import Handler, Renderer, see_other
from retaild.web.views import InstancesData

REASON_CHARACTERS = 500
#: What only lets it go on is an operator's; the rest takes something away from the shop.
ACTIONS: dict[str, Permission] = {
    "resume": "operate",
    "restart": "operate",
    "enable": "administer",
    "disable": "administer",
    "quarantine": "administer",
}


def routes(data: InstancesData, renderer: Renderer) -> list[Route]:
    async def show(request: Request) -> Response:
        rows = await data.instances()
        held = [row for row in rows if row["standing"] != "enabled"]
        return await panel_page(renderer, request, "instances", rows=rows, held=held)

    def acting(action: str) -> Handler:
        async def act(request: Request) -> Response:
            form = await read_form(request)
            reason = form.one("reason")[:REASON_CHARACTERS]
            await data.change(action, form.one("kind"), form.one("name"), reason)
            back = "services" if form.one("page") == "services" else "instances"
            return see_other(f"/admin/{back}?done=instance-{action}")

        return act

    guarded = partial(renderer.guarded, needs_engine=False)
    return [
        *(
            Route(
                f"/admin/instances/{action}",
                # Of a change of standing the daemon itself writes the entry, whoever asked.
                guarded(
                    acting(action), needs=permission,
                    audit="worker.restart" if action == "restart" else "",
                ),
                methods=["POST"],
            )
            for action, permission in ACTIONS.items()
        ),
        Route("/admin/instances", guarded(show)),
    ]  # fmt: skip
