"""Liveness, readiness, metrics: for supervisors and monitoring, outside /api/v1."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from retaild.rest.access import needs
from retaild.rest.admin_schemas import Live, Ready
from retaild.rest.metrics import Metrics
from retaild.runtime.serving.services import Services


def router(services: Services, metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health/live", dependencies=[needs(None)], response_model=Live)
    async def live() -> Live:
        """The process answers."""
        return Live(status="ok")

    @routes.get(
        "/health/ready",
        dependencies=[needs("metrics")],
        response_model=Ready,
        responses={503: {"model": Ready}},
    )
    async def ready() -> Response:
        """200 when the server has caught up with the log; else 503 with the reason."""
        progress = services.background.progress
        body = Ready(
            status="ready" if progress.ready else "starting",
            reason=progress.reason,
            model_version=services.engine.version,
            customers=len(services.engine.facts.customers),
            products=len(services.engine.index),
            lag_entries=progress.lag_rows,
        )
        return JSONResponse(body.model_dump(), 200 if progress.ready else 503)

    @routes.get(
        "/metrics",
        dependencies=[needs("metrics")],
        response_class=Response,
        summary="Prometheus metrics",
    )
    async def show_metrics() -> Response:
        """In Prometheus' text format."""
        return Response(metrics.render(), media_type=metrics.media_type)

    return routes
