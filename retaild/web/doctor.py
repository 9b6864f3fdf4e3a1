"""The doctor's panel: what is wrong or soon will be, and a button where it can be mended."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web.admin import panel_page
from retaild.web.forms import read_form
from retaild.web.render import Renderer, see_other
from retaild.web.views import DoctorData


def routes(data: DoctorData, renderer: Renderer) -> list[Route]:
    async def show(request: Request) -> Response:
        found = await data.findings()
        wrong = [f for f in found["findings"] if f["severity"] != "ok"]
        well = sorted({f["check"] for f in found["findings"] if f["severity"] == "ok"})
        return await panel_page(renderer, request, "doctor", at=found["at"], wrong=wrong, well=well)

    async def fix(request: Request) -> Response:
        form = await read_form(request)
        applied = await data.fix(form.one("id"))
        outcome = "not-mended" if applied["failed"] else "mended"
        return see_other(f"/admin/doctor?done={outcome}")

    guarded = partial(renderer.guarded, needs_engine=False)
    return [
        Route(
            "/admin/doctor", guarded(fix, needs="administer", audit="doctor.fix"), methods=["POST"]
        ),
        Route("/admin/doctor", guarded(show)),
    ]
