"""All that `retaildctl check` looks at: the host's check, and the jobs."""

from __future__ import annotations

from pathlib import Path

from retaild.config.documents import Document
from retaild.config.explain import suggestion
from retaild.config.faults import Fault
from retaild.config.settings import Settings, inspect_settings
from retaild.host.check import check, in_order
from retaild.runtime.jobs import JOBS


def check_all(config: Path | None, data: Path | None, *, listening: bool = False) -> list[Fault]:
    """Every fault of a configuration, by file and line."""
    faults = check(config, data, listening=listening)
    settings, document, _ = inspect_settings(config, data)
    return in_order(faults + (check_jobs(settings, document) if settings else []))


def check_jobs(settings: Settings, document: Document | None = None) -> list[Fault]:
    """Jobs must be of a kind there is, and a trainer they name must be configured."""
    document = document or Document()
    faults: list[Fault] = []
    for name, job in settings.job.items():
        path = ("job", name)
        if job.kind not in JOBS:
            message = f"There is no kind of job {job.kind!r}."
            faults.append(document.fault((*path, "kind"), message, suggestion(job.kind, JOBS)))
        trainer = job.arguments.get("trainer")
        if trainer is not None and trainer not in settings.trainer:
            message = f"Job {name!r} names the trainer {trainer!r}, which is not configured."
            hint = suggestion(trainer, settings.trainer)
            faults.append(document.fault((*path, "arguments", "trainer"), message, hint))
    return faults
