"""All the pages' routes."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from retaild.runtime.access.needs import PUBLIC
from retaild.web import (
    access,
    admin,
    alerts,
    backups,
    configuration,
    doctor,
    instances,
    pricing,
    recommendations,
    services,
)
from retaild.web.assets import Assets
from retaild.web.environment import environment
from retaild.web.formatting import Formats
from retaild.web.forms import local_path, read_form
from retaild.web.render import THEMES, Renderer, see_other
from retaild.web.views import PageData

YEAR_SECONDS = 31_536_000


def pages(data: PageData, *, strict: bool = False) -> list[BaseRoute]:
    """Routes of the three pages and their static files. `strict` is for tests."""
    shop, assets = data.shop(), Assets()
    formats = Formats(shop.currency, ZoneInfo(shop.timezone))
    renderer = Renderer(environment(shop, assets, strict=strict), data, formats)
    theme = renderer.guarded(_theme, needs_engine=False, needs=PUBLIC)
    return [
        Route("/", _home),
        _public(Route("/static/{name}", assets.respond)),
        Route("/preferences/theme", theme, methods=["POST"]),
        *recommendations.routes(data, renderer),
        *pricing.routes(data, renderer),
        *access.routes(data.access, renderer),
        *alerts.routes(data.alerts, renderer),
        *doctor.routes(data.doctor, renderer),
        *configuration.routes(data.config, renderer),
        *instances.routes(data.instances, renderer),
        *services.routes(data.services, renderer),
        *backups.routes(data.backups, renderer),
        # Last: it answers for every other section of the panel.
        *admin.routes(data, renderer),
    ]


def _public(route: Route) -> Route:
    route.needs = PUBLIC  # type: ignore[attr-defined]
    return route


async def _home(_: Request) -> Response:
    return RedirectResponse("/recommendations", status_code=307)


async def _theme(request: Request) -> Response:
    """The theme button without the script: remember the choice, show the page again."""
    form = await read_form(request)
    response = see_other(local_path(form.one("next"), "") or "/")
    chosen = form.one("theme")
    response.set_cookie(
        "theme", chosen if chosen in THEMES else "", max_age=YEAR_SECONDS, samesite="lax"
    )
    return response
