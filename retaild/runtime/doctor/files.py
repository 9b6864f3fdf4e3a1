"""Configuration, state, and who may read what."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from retaild.config.active import secret_references
from retaild.runtime._state_schema import MIGRATIONS
from retaild.runtime.check import check_all
from retaild.runtime.dead_runs import bury, is_dead
from retaild.runtime.doctor.finding import Finding, Fix
from retaild.runtime.doctor.patient import Patient
from retaild.runtime.state import State


def config(patient: Patient) -> Iterator[Finding]:
    """Every fault of the configuration."""
    for fault in check_all(patient.config, patient.data.root, listening=patient.running):
        if fault.path == "api.port":
            continue  # the check of the port says more
        target = fault.path or fault.place
        yield Finding("config", fault.severity, f"{fault.place}: {fault.message}", fault.hint,
                      target)  # fmt: skip


def state(patient: Patient) -> Iterator[Finding]:
    """The databases must be whole."""
    for path in (patient.data.state_db, patient.data.schedule_db, patient.data.mlflow_db):
        reason = _broken(path)
        if reason:
            yield _unreadable(patient, path, reason)


def _broken(path: Path) -> str:
    """Why a database cannot be used; empty if it can, or is not there."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if said == "ok" else str(said)


def _unreadable(patient: Patient, path: Path, reason: str) -> Finding:
    summary = f"{path.name} cannot be read: {reason}."
    if path == patient.data.schedule_db and not patient.running:
        # The schedule is made anew from the configuration at every start.
        fix = Fix(f"Set {path.name} aside; the next start makes a new one.", lambda: aside(path))
        return Finding("state", "error", summary, "", path.name, fix)
    hint = {
        "state.db": "Stop retaild and restore state.db from a backup (`retaildctl backup`). Events "
        "are safe: they are in the log and the lake.",
        "mlflow.db": "Restore it from a backup, or move it away and train anew.",
    }.get(path.name, "Stop retaild, then run `retaildctl doctor --fix`.")
    return Finding("state", "error", summary, hint, path.name)


def aside(path: Path) -> str:
    """Rename a broken file, never delete it."""
    kept = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    path.rename(kept)
    return f"it is kept as {kept.name}"


def schema(patient: Patient) -> Iterator[Finding]:
    """state.db of an older or a newer version."""
    found, known = patient.state_version, len(MIGRATIONS)
    if found is None or found == known:
        return
    summary = f"state.db has schema {found}; this version of retaild has {known}."
    if found > known:
        hint = "Install the newer version again, or restore the backup made before the upgrade."
        yield Finding("schema", "error", summary, hint)
    else:
        fix = Fix("Copy it, and bring it up to date.", lambda: _migrated(patient.data.state_db))
        yield Finding("schema", "warning", summary, "The next start does it, too.", "", fix)


def _migrated(path: Path) -> str:
    copy = path.with_name(f"{path.name}.before-migration")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    shutil.copymode(path, copy)
    State(path).close()
    return f"it is up to date; the copy is {copy.name}"


def permissions(patient: Patient) -> Iterator[Finding]:
    """Nobody else may look into the data or read a secret; retaild itself must be able to."""
    root = patient.data.root
    if root.exists():
        yield from _too_open(root, 0o007, "permissions", "Others than its owner and group may")
        yield from _foreign(root)
    for path in _secret_files(patient):
        yield from _too_open(path, 0o077, "permissions", "Others than its owner may")


def _too_open(path: Path, mask: int, check: str, who: str) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & mask:
        closed = mode & ~mask

        def close() -> str:
            path.chmod(closed)
            return f"its mode is {closed:o} now"

        fix = Fix(f"Set its mode to {closed:o}.", close)
        yield Finding(check, "warning", f"{who} open {path} (mode {mode:o}).", "", str(path), fix)


def _foreign(root: Path) -> Iterator[Finding]:
    owner = root.stat().st_uid
    others = [path for path in _top(root) if path.lstat().st_uid != owner]
    if others:
        names = ", ".join(path.name for path in others[:5])
        yield Finding(
            "permissions", "error",
            f"{len(others)} files below {root} belong to another user than it does: {names}.",
            f"Was a command run as root? `chown -R --reference={root} {root}` gives them back.",
            "owner",
        )  # fmt: skip


def _top(root: Path) -> Iterator[Path]:
    """Files and directories two levels deep: what a command run as another user makes first."""
    for path in root.glob("*"):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from path.glob("*")


def _secret_files(patient: Patient) -> Iterator[Path]:
    """Files that the configuration refers to as secrets."""
    if patient.settings is None:
        return
    base = patient.settings.base_dir
    for _, _, instance in patient.settings.instances():
        for reference in secret_references(instance.settings).values():
            path = base / reference.get("file", "")
            if path.is_file():
                yield path


def lock(patient: Patient) -> Iterator[Finding]:
    """What a killed daemon left behind."""
    if patient.running:
        return
    socket = patient.data.socket
    if socket.exists():
        fix = Fix("Remove the socket.", lambda: _removed(socket))
        yield Finding("lock", "info", "A daemon was killed and left its socket.", "", "socket", fix)
    running = patient.rows(
        "SELECT id, job, pid, state FROM job_run WHERE state IN ('queued', 'running')"
    )
    for run in filter(is_dead, running):
        yield _stuck(patient, run)


def _stuck(patient: Patient, run: Mapping[str, Any]) -> Finding:
    def bury_it() -> str:
        own = State(patient.data.state_db)
        bury(own, run["id"])
        own.close()
        return f"run {run['id']} is marked as killed"

    summary = (
        f"Run {run['id']} of job {run['job']!r} counts as {run['state']}, but its process is gone."
    )
    fix = Fix("Mark it as killed, so that the job may run again.", bury_it)
    return Finding("lock", "warning", summary, "", f"run-{run['id']}", fix)


def _removed(path: Path) -> str:
    path.unlink(missing_ok=True)
    return f"{path.name} is removed"
