"""What one falls back on: backups, what was set aside, the certificate."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from retaild.config.sections import JobSection
from retaild.config.settings import Settings
from retaild.runtime.admin.backups import LOOKS, last_looks
from retaild.runtime.alerts.conditions.resources import certificate_finding
from retaild.runtime.backup import shelf
from retaild.runtime.backup.service import listed
from retaild.runtime.doctor.finding import Finding, Fix, Severity
from retaild.runtime.doctor.patient import Patient

_DAY = 86_400.0
_MIB = 1024**2
#: Without a schedule: so old may the newest backup be.
_OLD_DAYS = 7.0
#: A restore that has written nothing for so long was broken off.
_STILL_SECONDS = 120.0


def backup(patient: Patient) -> Iterator[Finding]:
    """None at all, the newest is older than its schedule lets it be, or one is damaged."""
    settings = patient.settings
    if settings is None:
        return
    if not settings.backup.directory:
        yield Finding(
            "backup", "info", "No backups are made: no directory is configured for them.",
            "State backup.directory, best on another disk; `retaildctl backup create` makes one "
            "now.",
        )  # fmt: skip
        return
    folder = settings.base_dir / settings.backup.directory
    finished = _newest(folder, patient.data.root)
    if finished is None:
        yield _late(patient, f"There is no backup of this shop in {folder} yet.")
    elif patient.now() > _latest(settings, finished):
        days = (patient.now() - finished) / _DAY
        yield _late(patient, f"The newest backup in {folder} is {days:.1f} days old.")
    yield from _damaged(patient, folder)


def _damaged(patient: Patient, folder: Path) -> Iterator[Finding]:
    """Those that did not pass when somebody last verified them."""
    looks = last_looks(patient.rows(LOOKS))
    for row in listed(folder):
        fault = looks.get(row["name"], {}).get("fault")
        if fault:
            yield Finding(
                "backup", "error", f"Backup {row['name']} did not pass when it was read: {fault}",
                "Take another with `retaildctl backup create`, and move this one away. Is the disk "
                "that it lies on failing?",
                row["name"],
            )  # fmt: skip


def _late(patient: Patient, summary: str) -> Finding:
    fix = Fix("Run the job `backup`.", lambda: patient.run_job("backup"))
    hint = "Is the job `backup` disabled or failing, or the disk full? See `retaildctl job list`."
    return Finding("backup", "warning", summary, hint, "", fix if patient.running else None)


def _newest(folder: Path, data_root: Path) -> float | None:
    """When the newest backup was finished (seconds, UTC); of archives their file's time."""
    moments = [one.manifest.finished for one in shelf.own(folder, data_root)[:1]]
    moments += [path.stat().st_mtime for path in shelf.archives(folder)]
    return max(moments, default=None)


def _latest(settings: Settings, finished: float) -> float:
    """When at the latest another backup has to be there: one time of the schedule may be missed."""
    jobs = [job for job in settings.job.values() if job.kind == "backup" and job.enabled]
    zone = ZoneInfo(settings.retaild.timezone)
    due = [_second_time(job, zone, finished) for job in jobs if job.cron or job.every_seconds]
    return min(due, default=finished + _OLD_DAYS * _DAY)


def _second_time(job: JobSection, zone: ZoneInfo, after: float) -> float:
    if job.every_seconds:
        return after + 2.0 * job.every_seconds
    from retaild.runtime.scheduler import trigger  # the only check that needs APScheduler

    moment = datetime.fromtimestamp(after, UTC)
    for _ in range(2):
        moment = trigger(job, zone).get_next_fire_time(None, moment + timedelta(seconds=1))
    return moment.timestamp()


def set_aside(patient: Patient) -> Iterator[Finding]:
    """Files that were found broken and kept. What they cost was told when it happened."""
    found = sorted(_kept(patient.data.root))
    if not found:
        return
    size = sum(_size(path) for path in found)
    newest = max(path.lstat().st_mtime for path in found)
    names = ", ".join(str(path.relative_to(patient.data.root)) for path in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    recent = patient.now() - newest < _OLD_DAYS * _DAY
    yield Finding(
        "set-aside", "warning" if recent else "info",
        f"{len(found)} broken files were set aside ({size / _MIB:.1f} MiB): {names}{more}.",
        "The logs say when, why, and what was lost, if anything. Is the disk failing "
        "(`smartctl -a`)? Remove them when nobody needs them any more.",
    )  # fmt: skip


def _kept(root: Path) -> Iterator[Path]:
    """Set aside by log, lake, databases (`*.damaged`, `*.broken-<time>`), server (`damaged-*`)."""
    for folder, folders, files in os.walk(root):
        broken = [name for name in folders if name.startswith("damaged-")]
        folders[:] = [name for name in folders if name not in broken]
        names = [n for n in files if n.endswith(".damaged") or ".broken-" in n]
        yield from (Path(folder, name) for name in (*broken, *names))


def _size(path: Path) -> int:
    paths = path.rglob("*") if path.is_dir() else [path]
    return sum(own.lstat().st_size for own in paths if own.is_file())


def restore(patient: Patient) -> Iterator[Finding]:
    """A restore that was broken off: what lies there is not a whole shop."""
    work = patient.data.restoring
    if not work.exists():
        return
    if time.time() - _touched(work) < _STILL_SECONDS:
        yield Finding("restore", "info", "A backup is being restored into this directory.")
        return
    moved = sorted(p.name for p in patient.data.root.iterdir() if p != work)
    hint = f"Restore it again: `retaildctl backup restore BACKUP --data {patient.data.root}`."
    if moved:
        hint = (
            "It may be whole in no part. Stop retaild, move everything in the directory away, then "
            "restore again."
        )
    what = f"; {', '.join(moved[:4])} are there already" if moved else ""
    yield Finding("restore", "error", f"The restore of a backup was broken off{what}.", hint)


def _touched(folder: Path) -> float:
    """When something below was last written."""
    newest = folder.stat().st_mtime
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            newest = max(newest, path.lstat().st_mtime)
    return newest


_SEVERITY: dict[str, Severity] = {"info": "info", "warning": "warning"}


def certificate(patient: Patient) -> Iterator[Finding]:
    """The API's certificate ends soon, has ended, or cannot be read: as the alert would say."""
    if patient.settings is None:
        return
    found = certificate_finding(patient.settings, patient.now())
    if found is not None:
        severity = _SEVERITY.get(found.severity, "error")
        yield Finding("certificate", severity, found.summary, found.hint)
