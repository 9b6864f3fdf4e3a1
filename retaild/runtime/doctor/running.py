"""The daemon, its workers, components and jobs."""

from __future__ import annotations

from collections.abc import Iterator

from retaild.host.check import check_port
from retaild.runtime.doctor.finding import Finding
from retaild.runtime.doctor.patient import Patient
from retaild.runtime.ports import holder

#: A worker that was started again so often is not well, even if it runs at the moment.
_MANY_RESTARTS = 5


def port(patient: Patient) -> Iterator[Finding]:
    """The port must be free for a daemon that is not running."""
    if patient.running or patient.settings is None:
        return
    for fault in check_port(patient.settings):
        found = holder(patient.settings.api.port)
        who = f" {found} listens there." if found else ""
        yield Finding("port", "error", f"{fault.message}{who}", fault.hint)


def workers(patient: Patient) -> Iterator[Finding]:
    """Processes that do not run, or not for long."""
    if patient.status is None:
        hint = "Start it: `retaildctl run`, or `systemctl start retaild`."
        yield Finding("workers", "info", "retaild does not run on this data directory.", hint)
        return
    for row in patient.status["workers"]:
        said = f" {row['last_error']}" if row["last_error"] else ""
        hint = f"See `retaildctl logs {row['name']}`."
        if row["state"] == "backoff":
            summary = f"{row['name']} does not run.{said}"
            yield Finding("workers", "error", summary, hint, row["name"])
        elif (row["restarts"] or 0) >= _MANY_RESTARTS:
            summary = f"{row['name']} had to be started {row['restarts']} times again.{said}"
            yield Finding("workers", "warning", summary, hint, row["name"])


def quarantine(patient: Patient) -> Iterator[Finding]:
    """Components that were put out of the way because they kept failing."""
    rows = patient.rows("SELECT kind, name, reason FROM instance WHERE state = 'quarantined'")
    for row in rows:
        name = f"{row['kind']} {row['name']}"
        yield Finding(
            "quarantine", "error", f"{row['kind'].capitalize()} {row['name']!r} is in quarantine: "
            f"{row['reason']}",
            f"Mend the cause, then `retaildctl plugin resume {name}`. Nothing is skipped: it goes "
            "on where it stopped.",
            f"{row['kind']}.{row['name']}",
        )  # fmt: skip


def jobs(patient: Patient) -> Iterator[Finding]:
    """Jobs whose newest run failed."""
    newest = patient.rows(
        "SELECT id, job, state, error FROM job_run WHERE id IN "
        "(SELECT max(id) FROM job_run WHERE finished IS NOT NULL GROUP BY job)"
    )
    for run in newest:
        if run["state"] in ("failed", "killed"):
            summary = f"Job {run['job']!r} failed the last time it ran: {run['error'] or 'no word'}"
            hint = f"See `retaildctl job log {run['id']}`; then `retaildctl job run {run['job']}`."
            yield Finding("jobs", "warning", summary, hint, run["job"])
