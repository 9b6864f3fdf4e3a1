"""The application: fast lane, gate, FastAPI with its routes, and whatever pages are given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from retaild import __version__
from retaild.rest import problems
from retaild.rest.access import Guard, Rules, describe, names_of
from retaild.rest.access_data import AccessData
from retaild.rest.alerts_data import alerts_data
from retaild.rest.config_data import ConfigData
from retaild.rest.doctor_data import DoctorData
from retaild.rest.fast import FastLane
from retaild.rest.gate import Gate, Hosts, RequestIds, security_headers
from retaild.rest.instances_data import InstancesData
from retaild.rest.metrics import Metrics
from retaild.rest.problems import Problem
from retaild.rest.routers import (
    access,
    admin,
    alerts,
    backup,
    config,
    customers,
    doctor,
    events,
    health,
    instances,
    prices,
    products,
    stream,
)
from retaild.rest.routers import (
    services as service_routes,
)
from retaild.rest.services_data import ServicesData
from retaild.runtime.serving.services import Services

PREFIX = "/api/v1"
_DESCRIPTION = """What to offer a customer now, and what a product should cost now; the door for
events; and what people who run the system look at. Errors are problem+json (RFC 9457)."""
_TAGS = [
    {"name": "recommendations", "description": "What to offer whom, and why."},
    {"name": "products", "description": "The range."},
    {"name": "prices", "description": "Prices, what other prices would do, proposals."},
    {"name": "events", "description": "The door for what happens in the shop."},
    {"name": "admin", "description": "Workers, jobs, models, dead letters, data quality, logs."},
    {"name": "access", "description": "Users, API keys, sessions, the audit log."},
    {"name": "health", "description": "For supervisors and monitoring."},
]
_PROBLEM: dict[str, Any] = {
    "model": Problem,
    "description": "A problem.",
    "content": {problems.MEDIA_TYPE: {}},
}


def create_app(
    services: Services,
    extra_routes: Sequence[BaseRoute] = (),
    closing: asyncio.Event | None = None,
) -> ASGIApp:
    """The whole ASGI application. `closing` is set when live streams shall end."""
    metrics = Metrics(services)
    api = create_api(services, metrics, closing or asyncio.Event())
    api.router.routes.extend(extra_routes)
    settings, desk = services.context.settings.api, services.access
    rules = Rules(api)
    describe(api, rules, desk.secure)
    hosts, ids = Hosts(settings.host, names_of(settings.url, settings.names)), RequestIds()
    security = security_headers(desk.secure)
    gate = Gate(
        Guard(api, rules, desk),
        hosts=hosts,
        ids=ids,
        pace=services.engine.pace,
        metrics=metrics,
        max_body=settings.max_body_bytes,
        security=security,
        private=desk.required,
    )
    return FastLane(gate, services.engine, hosts, ids, metrics, desk, security)


def create_api(services: Services, metrics: Metrics, closing: asyncio.Event) -> FastAPI:
    """The documented routes alone."""
    app = FastAPI(
        title="retaild",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        openapi_url=f"{PREFIX}/openapi.json",
        # Swagger's and Redoc's pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    problems.install(app)
    for module in (customers, products, prices, events, admin):
        app.include_router(module.router(services), prefix=PREFIX)
    app.include_router(stream.router(services, closing), prefix=PREFIX)
    app.include_router(alerts.router(alerts_data(services.context)), prefix=PREFIX)
    app.include_router(doctor.router(DoctorData(services.context.data)), prefix=PREFIX)
    app.include_router(instances.router(InstancesData(services.admin)), prefix=PREFIX)
    app.include_router(service_routes.router(ServicesData(services.admin)), prefix=PREFIX)
    app.include_router(config.router(ConfigData(services.context.data)), prefix=PREFIX)
    app.include_router(access.router(AccessData(services.access)), prefix=PREFIX)
    app.include_router(backup.router(services), prefix=PREFIX)
    app.include_router(health.router(services, metrics))
    return app
