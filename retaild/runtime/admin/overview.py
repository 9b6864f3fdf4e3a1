"""Workers, plugins, sources, and what a person should know first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from retaild.config.settings import Settings
from retaild.host.registry import KINDS, PluginRegistry
from retaild.runtime.alerts.desk import AlertDesk
from retaild.runtime.alerts.routing import TEST
from retaild.runtime.process import resident_bytes
from retaild.runtime.state import State

#: A worker silent for so long is shown as not alive (it beats every second).
SILENT_SECONDS = 10.0


def workers(state: State) -> list[dict[str, Any]]:
    """The state's rows with `alive`: running, and heard of lately; `figures` hold the memory."""
    now = time.time()
    return [_worker(row, now) for row in state.workers()]


def _worker(row: dict[str, Any], now: float) -> dict[str, Any]:
    lately = row["beat"] is not None and now - row["beat"] < SILENT_SECONDS
    # A worker that was started by hand has no row of the daemon's.
    shown = row["state"] or ("running" if lately else "unknown")
    figures = dict(row["figures"] or {})
    if row["pid"] and lately:
        figures.setdefault("memory", resident_bytes(row["pid"]))
    return {
        **row,
        "kind": row["kind"] or row["name"],
        "state": shown,
        "figures": figures,
        "alive": shown == "running" and lately,
    }


def plugins(registry: PluginRegistry, settings: Settings) -> list[dict[str, Any]]:
    """Every installed plugin, and those that could not be loaded."""
    used: dict[tuple[str, str], list[str]] = {}
    for kind, name, instance in settings.instances():
        used.setdefault((kind, instance.plugin), []).append(name)
    found = [
        {
            "name": spec.name,
            "kind": kind,
            "summary": spec.summary,
            "version": spec.version,
            "state": "in use" if (kind, spec.name) in used else "installed",
            "instances": used.get((kind, spec.name), []),
            "fault": None,
        }
        for kind in KINDS
        for spec in registry.specs(kind).values()
    ]
    broken = [
        {
            "name": fault.name, "kind": "", "summary": "", "version": "", "state": "broken",
            "instances": [], "fault": fault.message,
        }
        for fault in registry.faults
    ]  # fmt: skip
    return broken + found


def sources(state: State, settings: Settings) -> list[dict[str, Any]]:
    """Configured sources and everything that ever sent events, with its totals."""
    rows = {row["instance"]: row for row in state.sources()}
    names = [*settings.source, *(name for name in sorted(rows) if name not in settings.source)]
    return [_source(name, rows.get(name, {}), settings) for name in names]


def _source(name: str, row: dict[str, Any], settings: Settings) -> dict[str, Any]:
    configured = settings.source.get(name)
    error = row.get("last_error")
    if error:
        state = "failing"
    elif configured is None:
        state = "open" if name == "api" else "not configured"
    else:
        state = "configured"
    return {
        "instance": name,
        "plugin": configured.plugin if configured else ("rest" if name == "api" else ""),
        "state": state,
        "accepted": row.get("accepted") or 0,
        "dead": row.get("dead") or 0,
        "refused_cards": row.get("refused_cards") or 0,
        "last_event": row.get("last_event"),
        "last_error": error,
        "position": row.get("position"),
    }


def notices(
    rows: Sequence[dict[str, Any]], state: State, registry: PluginRegistry
) -> list[dict[str, Any]]:
    """What is wrong now, worst first."""
    found = []
    for row in rows:
        if not row["alive"]:
            text = f"Worker {row['name']} is {row['state'] or 'not running'}."
            if row["last_error"]:
                text += f" {row['last_error']}"
            found.append({"level": "bad", "text": text, "href": "/admin/health"})
    found += [
        {"level": "bad", "text": str(fault), "href": "/admin/plugins"} for fault in registry.faults
    ]
    for check in state.quality():
        if not check["passed"]:
            text = f"Quality: {check['check_name']} fails on {check['table_name']}."
            found.append({"level": "warn", "text": text, "href": "/admin/quality"})
    for run in _last_failures(state):
        text = f"Job {run['job']} failed: {run['error'] or 'see its log'}"
        found.append({"level": "warn", "text": text, "href": f"/admin/jobs/{run['id']}"})
    return sorted([*found, *_alerts(state)], key=lambda notice: notice["level"] != "bad")


#: Told of by a notice of their own.
_TOLD = ("job", "quality", "worker", TEST)


def _alerts(state: State) -> list[dict[str, Any]]:
    """Open alerts of what no other notice tells."""
    return [
        {"level": "warn" if row["severity"] == "warning" else "bad", "text": row["summary"],
         "href": "/admin/alerts"}
        for row in AlertDesk(state).open()
        if row["resolved"] is None and row["severity"] != "info" and row["source"] not in _TOLD
    ]  # fmt: skip


def _last_failures(state: State) -> list[dict[str, Any]]:
    """Jobs whose latest run failed."""
    latest: dict[str, dict[str, Any]] = {}
    for run in state.runs(limit=200):
        latest.setdefault(run["job"], run)
    return [run for run in latest.values() if run["state"] in ("failed", "killed")]
