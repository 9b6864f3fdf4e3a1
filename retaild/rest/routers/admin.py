"""What people who run the shop's system look at and decide.

These routes block some milliseconds on sqlite and files: plain functions, run in threads.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from retaild.rest import admin_schemas as schemas
from retaild.rest.access import needs
from retaild.rest.parameters import Limit, Lines, Name, Offset, RowId
from retaild.rest.status import status
from retaild.runtime.serving.services import Services

_Filter = Annotated[str, Query(max_length=200)]


def router(services: Services) -> APIRouter:
    routes = APIRouter(dependencies=[needs("view")], tags=["admin"])
    _overview(routes, services)
    _jobs(routes, services)
    _models(routes, services)
    _dead_letters(routes, services)
    return routes


def _overview(routes: APIRouter, services: Services) -> None:
    admin = services.admin

    @routes.get("/status", response_model=schemas.Status, name="status")
    def show_status() -> dict[str, Any]:
        """Health of all parts, and figures of the last minutes."""
        return status(services)

    @routes.get("/workers", response_model=schemas.Workers)
    def workers() -> dict[str, Any]:
        """The worker processes."""
        return {"workers": admin.workers()}

    @routes.get("/plugins", response_model=schemas.Plugins)
    def plugins() -> dict[str, Any]:
        """Installed plugins, broken ones first."""
        return {"plugins": admin.plugins()}

    @routes.get("/sources", response_model=schemas.Sources)
    def sources() -> dict[str, Any]:
        """Where events come from, and how many came."""
        return {"sources": admin.sources()}

    @routes.get("/quality", response_model=schemas.Quality)
    def quality() -> dict[str, Any]:
        """The last data quality checks, failed ones first."""
        return {"checks": admin.quality()}

    @routes.get("/lake/tables", response_model=schemas.LakeTables)
    def lake_tables() -> dict[str, Any]:
        """The lake's tables."""
        return {"tables": admin.lake_tables()}

    @routes.get("/logs", response_model=schemas.Log)
    def logs(
        worker: Annotated[str, Query(max_length=200, description="Name of a log.")] = "",
        level: Annotated[str, Query(pattern=r"^(debug|info|warning|error|critical)?$")] = "",
        lines: Lines = 200,
    ) -> dict[str, Any]:
        """The last lines of a log; without `worker` the names of all."""
        return admin.logs(worker, level, lines)


def _jobs(routes: APIRouter, services: Services) -> None:
    admin = services.admin

    @routes.get("/jobs", response_model=schemas.Jobs)
    def jobs() -> dict[str, Any]:
        """Jobs, their schedules and last runs."""
        return {"jobs": admin.jobs()}

    @routes.get("/jobs/runs", response_model=schemas.Runs)
    def runs(job: _Filter = "", limit: Limit = 50) -> dict[str, Any]:
        """Runs, newest first."""
        return {"runs": admin.runs(job, limit)}

    @routes.get("/jobs/runs/{run_id}", response_model=schemas.Run)
    def run(run_id: RowId) -> dict[str, Any]:
        """One run."""
        return admin.run(run_id)

    @routes.get("/jobs/runs/{run_id}/log", response_model=schemas.Lines)
    def run_log(run_id: RowId, lines: Lines = 200) -> dict[str, Any]:
        """The last lines of a run's log."""
        return {"lines": admin.run_log(run_id, lines)}

    @routes.post(
        "/jobs/{name}/run",
        dependencies=[needs("operate", audit="job.run")],
        response_model=schemas.RunAccepted,
        status_code=202,
    )
    def run_job(
        name: Name, request: Annotated[schemas.RunRequest, Body(default_factory=schemas.RunRequest)]
    ) -> dict[str, Any]:
        """Run a job now; refused while it runs."""
        return {"run_id": admin.run_job(name, request.arguments)}


def _models(routes: APIRouter, services: Services) -> None:
    admin = services.admin

    @routes.get("/models", response_model=schemas.Models)
    def models() -> dict[str, Any]:
        """Trainers with their versions, newest first."""
        return {"models": admin.models()}

    @routes.post(
        "/models/{name}/promote",
        dependencies=[needs("decide", audit="model.promote")],
        response_model=schemas.RunAccepted,
        status_code=202,
    )
    def promote(name: Name, request: schemas.Promote) -> dict[str, Any]:
        """Make a version the champion; the job's run says when it is done."""
        return {"run_id": admin.promote(name, request.version, request.reason)}

    @routes.post(
        "/models/{name}/rollback",
        dependencies=[needs("decide", audit="model.rollback")],
        response_model=schemas.RunAccepted,
        status_code=202,
    )
    def rollback(
        name: Name, request: Annotated[schemas.Rollback, Body(default_factory=schemas.Rollback)]
    ) -> dict[str, Any]:
        """Go back to the champion before; the job's run says when it is done."""
        return {"run_id": admin.rollback(name, request.reason)}


def _dead_letters(routes: APIRouter, services: Services) -> None:
    admin = services.admin

    @routes.get("/dead-letters", response_model=schemas.DeadLetters)
    def dead_letters(
        source: _Filter = "", reason: _Filter = "", limit: Limit = 50, offset: Offset = 0
    ) -> dict[str, Any]:
        """What could not be taken in, newest first."""
        page = admin.dead_letters(source=source, reason=reason, limit=limit, offset=offset)
        return {**page, "dead_letters": [_shown(letter) for letter in page["dead_letters"]]}

    @routes.post(
        "/dead-letters/replay",
        dependencies=[needs("operate", audit="dead_letter.replay")],
        response_model=schemas.Replayed,
    )
    def replay(request: schemas.ReplayRequest) -> dict[str, Any]:
        """Read refused bytes again, after the fault was mended."""
        result = admin.replay(request.event_ids)
        return {
            "accepted": result.accepted,
            "refused": result.refused,
            "outcomes": result.outcomes,
        }

    @routes.get("/dead-letters/{event_id:path}", response_model=schemas.DeadLetterDetail)
    def dead_letter(event_id: Name) -> dict[str, Any]:
        """One dead letter with its bytes."""
        letter = admin.dead_letter(event_id)
        return {**_shown(letter), "raw": base64.b64encode(letter["raw"]).decode()}


def _shown(letter: dict[str, Any]) -> dict[str, Any]:
    return {**letter, "event_time": letter["event_time"].isoformat()}
