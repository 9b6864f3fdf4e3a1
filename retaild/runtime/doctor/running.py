"""The daemon, its workers, components and jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from retaild.host.check import check_port
from retaild.runtime.doctor.finding import Finding
from retaild.runtime.doctor.patient import Patient

#: A worker that was started again so often is not well, even if it runs at the moment.
_MANY_RESTARTS = 5


def port(patient: Patient) -> Iterator[Finding]:
    """The port must be free for a daemon that is not running."""
    if patient.running or patient.settings is None:
        return
    for fault in check_port(patient.settings):
        holder = _listener(patient.settings.api.port)
        who = f" {holder} listens there." if holder else ""
        yield Finding("port", "error", f"{fault.message}{who}", fault.hint)


def _listener(number: int) -> str:
    """The process that listens on a TCP port, as far as this user may see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == number and fields[3] == "0A":
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if inodes & set(_open_files(process)):
                name = (process / "comm").read_text().strip()
                return f"Process {process.name} ({name})"
    return ""


def _open_files(process: Path) -> Iterator[str]:
    """What a process has open; a file that is closed meanwhile hides no other."""
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(descriptor)


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
