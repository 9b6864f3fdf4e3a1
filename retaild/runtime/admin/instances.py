"""Component instances at a glance: may each run, does it, and what it said last."""

from __future__ import annotations

from typing import Any

from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime import control, logs
from retaild.runtime.access.audit import note
from retaild.runtime.access.caller import current_caller
from retaild.runtime.admin.overview import workers
from retaild.runtime.component import HELD_KINDS, process_name
from retaild.runtime.instances import Held, InstanceStore
from retaild.runtime.state import Row, State

#: So much of an instance's log, and so many of its failures, are shown.
LOG_LINES = 20
FAILURES = 5


def instances(data: DataDir, settings: Settings, state: State) -> list[dict[str, Any]]:
    """Every configured instance that can be held back; those that are come first."""
    store = InstanceStore(state)
    held, running = store.all(), {row["name"]: row for row in workers(state)}
    found = []
    for kind, name, instance in settings.instances():
        if kind in HELD_KINDS:
            process = process_name(kind, name)
            found.append({
                "kind": kind, "name": name, "process": process, "plugin": instance.plugin,
                **_standing(held.get(process, Held())), **_process(running.get(process)),
                "failures": store.failures(kind, name, FAILURES),
                "log": logs.tail(data.worker_log(process), LOG_LINES),
            })  # fmt: skip
    return sorted(found, key=lambda row: row["standing"] == "enabled")


def _standing(held: Held) -> dict[str, Any]:
    return {
        "standing": held.standing, "reason": held.reason, "by": held.by,
        "since": held.since or None, "cause": held.cause, "lines": list(held.lines),
    }  # fmt: skip


def _process(row: Row | None) -> dict[str, Any]:
    if row is None:
        return {"state": "not started", "alive": False, "pid": None, "started": None,
                "restarts": 0, "memory": None, "last_error": ""}  # fmt: skip
    return {
        "state": row["state"], "alive": row["alive"], "pid": row["pid"], "started": row["since"],
        "restarts": row["restarts"] or 0, "memory": row["figures"].get("memory"),
        "last_error": row["last_error"] or "",
    }  # fmt: skip


def hold_or_free(data: DataDir, action: str, kind: str, name: str, reason: str) -> dict[str, Any]:
    """Ask the daemon to resume, enable, disable or quarantine, in the caller's name.

    The daemon writes the audit entry. Raises NotRunningError, RefusedError.
    """
    caller = current_caller()
    return control.request(
        data, f"{action}-instance", kind=kind, name=name, reason=reason, by=caller.who,
        via=caller.via,
    )  # fmt: skip


def restart(data: DataDir, state: State, kind: str, name: str) -> dict[str, Any]:
    """Ask the daemon for an orderly end and a new start. Raises NotRunningError, RefusedError."""
    process = process_name(kind, name)
    before = next((row for row in workers(state) if row["name"] == process), None)
    control.request(data, "restart-worker", worker=process)
    was = before or {"state": "not started", "pid": None}
    was = {key: was[key] for key in ("state", "pid")}
    note(process, before=was, after={"restart": "asked for"})
    held = InstanceStore(state).held(kind, name)
    return {"kind": kind, "name": name, "state": held.standing, "reason": held.reason}
