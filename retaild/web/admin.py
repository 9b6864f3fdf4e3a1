"""The admin panel: one page per section."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web import byteview
from retaild.web.formatting import as_moment
from retaild.web.forms import read_form
from retaild.web.memory import with_memory
from retaild.web.modelview import comparison
from retaild.web.paging import Paging, page_number
from retaild.web.render import Renderer, see_other
from retaild.web.views import JobRun, NotFoundError, PageData

#: Section -> label, in the order of the panel's navigation.
SECTIONS = {
    "": "Overview",
    "alerts": "Alerts",
    "jobs": "Jobs",
    "models": "Models",
    "dead-letters": "Dead letters",
    "quality": "Data quality",
    "lake": "Lake tables",
    "sources": "Sources",
    "services": "Services",
    "instances": "Instances",
    "logs": "Logs",
    "doctor": "Doctor",
    "config": "Configuration",
    "backups": "Backups",
    "access": "People and keys",
    "audit": "Audit log",
}
RUNS = 25
LETTERS = 25
LOG_LINES = 200
#: Jobs that need to be told a model: the models' own page runs them.
MODEL_JOBS = ("promote", "rollback")
#: Places of the overview that notices lead to.
PLACES = {"health": "workers-h", "plugins": "plugins-h"}
LEVELS = ("", "info", "warning", "error")


def routes(data: PageData, renderer: Renderer) -> list[Route]:
    page = AdminPages(data, renderer)
    guarded = partial(renderer.guarded, needs_engine=False)
    shown = {
        "/admin": page.overview,
        "/admin/jobs": page.jobs,
        "/admin/jobs/{run_id:int}": page.run,
        "/admin/models": page.models,
        "/admin/dead-letters": page.dead_letters,
        "/admin/dead-letters/{event_id:path}": page.dead_letter,
        "/admin/quality": page.quality,
        "/admin/lake": page.lake,
        "/admin/sources": page.sources,
        "/admin/logs": page.logs,
        "/admin/{name:path}": page.unknown,
    }
    acted = {
        "/admin/jobs": guarded(page.run_job, needs="operate", audit="job.run"),
        "/admin/models": guarded(page.move_model, needs="decide", audit="model.move"),
        "/admin/dead-letters": guarded(page.replay, needs="operate", audit="dead_letter.replay"),
    }
    return [
        *(Route(path, act, methods=["POST"]) for path, act in acted.items()),
        *(Route(path, guarded(show)) for path, show in shown.items()),
    ]


async def panel_page(renderer: Renderer, request: Request, panel: str, **context: Any) -> Response:
    """A section of the panel, by its template `admin/<panel>.html`; `a_b` belongs to section a."""
    return await renderer.page(
        request, f"admin/{panel or 'overview'}.html", section="admin",
        panel=panel.partition("_")[0], sections=SECTIONS, **context,
    )  # fmt: skip


class AdminPages:
    def __init__(self, data: PageData, renderer: Renderer) -> None:
        self._data = data
        self._renderer = renderer

    async def _page(self, request: Request, panel: str, **context: Any) -> Response:
        return await panel_page(self._renderer, request, panel, **context)

    async def unknown(self, request: Request) -> Response:
        name = request.path_params["name"].rstrip("/")
        if name in SECTIONS:  # with a slash behind it
            return see_other(f"/admin/{name}".rstrip("/"))
        if name in PLACES:
            return see_other(f"/admin#{PLACES[name]}")
        raise NotFoundError("admin section", name)

    async def overview(self, request: Request) -> Response:
        status = await self._data.status()
        workers = with_memory(status["workers"])
        return await self._page(
            request, "", status_now=status, workers=workers, plugins=await self._data.plugins()
        )

    async def jobs(self, request: Request) -> Response:
        chosen = request.query_params.get("job", "")
        runs = await self._data.job_runs(chosen, RUNS)
        jobs = [job for job in await self._data.jobs() if job["kind"] not in MODEL_JOBS]
        return await self._page(
            request, "jobs", jobs=jobs, runs=runs, chosen=chosen,
            longest=max((_seconds(run) or 0.0 for run in runs), default=0.0), seconds=_seconds,
        )  # fmt: skip

    async def run(self, request: Request) -> Response:
        run, log = await self._data.job_run(request.path_params["run_id"])
        return await self._page(request, "jobs_run", run=run, log=log, seconds=_seconds)

    async def run_job(self, request: Request) -> Response:
        form = await read_form(request)
        run_id = await self._data.run_job(form.one("name"))
        return see_other(f"/admin/jobs?done=started&n={run_id}")

    async def models(self, request: Request) -> Response:
        models = await self._data.models()
        return await self._page(
            request, "models", models=[(model, comparison(model)) for model in models]
        )

    async def move_model(self, request: Request) -> Response:
        """`action` is promote (with `version`) or rollback, of the model `name`."""
        form = await read_form(request)
        if form.one("action") == "rollback":
            await self._data.rollback(form.one("name"))
            return see_other("/admin/models?done=rolled-back")
        version = form.one("version")
        if not version.isdigit():
            raise NotFoundError("model version", version)
        await self._data.promote(form.one("name"), int(version))
        return see_other(f"/admin/models?done=promoted&n={version}")

    async def dead_letters(self, request: Request) -> Response:
        asked = request.query_params
        source, reason = asked.get("source", ""), asked.get("reason", "")
        number = page_number(asked.get("page"))
        found = await self._data.dead_letters(
            source=source, reason=reason, limit=LETTERS, offset=(number - 1) * LETTERS
        )
        kept = {"source": source, "reason": reason}
        return await self._page(
            request, "dead-letters", found=found, source=source, reason=reason,
            paging=Paging("/admin/dead-letters", kept, number, LETTERS, found["total"]),
        )  # fmt: skip

    async def dead_letter(self, request: Request) -> Response:
        letter = await self._data.dead_letter(request.path_params["event_id"])
        raw = letter["raw"]
        return await self._page(
            request, "dead-letters_one", letter=letter,
            text=byteview.text(raw), rows=byteview.hex_rows(raw), shown=byteview.SHOWN,
        )  # fmt: skip

    async def replay(self, request: Request) -> Response:
        form = await read_form(request)
        ids = form.all("id")
        if not ids:
            return see_other("/admin/dead-letters?done=nothing")
        accepted, refused = await self._data.replay(ids)
        key, count = ("refused", refused) if refused else ("replayed", accepted)
        return see_other(f"/admin/dead-letters?done={key}&n={count}")

    async def quality(self, request: Request) -> Response:
        return await self._page(request, "quality", checks=await self._data.quality())

    async def lake(self, request: Request) -> Response:
        return await self._page(request, "lake", tables=await self._data.lake_tables())

    async def sources(self, request: Request) -> Response:
        return await self._page(request, "sources", rows=await self._data.sources())

    async def logs(self, request: Request) -> Response:
        asked: Mapping[str, str] = request.query_params
        level = asked.get("level", "")
        level = level if level in LEVELS else ""
        file = asked.get("file", "")
        found = await self._data.logs(file, level, LOG_LINES)
        if not file and found["files"]:
            file = found["files"][0]
            found = await self._data.logs(file, level, LOG_LINES)
        return await self._page(request, "logs", found=found, file=file, level=level, levels=LEVELS)


def _seconds(run: JobRun) -> float | None:
    """How long a run took, or has taken so far; None before it began."""
    started, finished = as_moment(run.get("started")), as_moment(run.get("finished"))
    if started is None:
        return None
    return max(0.0, ((finished or datetime.now(UTC)) - started).total_seconds())
