"""Alerts: what raises them writes here, from any process; the daemon passes them on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from retaild.api.alert import SEVERITIES, Severity
from retaild.runtime.state import State


def raise_alert(
    state: State,
    key: str,
    severity: Severity,
    summary: str,
    *,
    source: str,
    hint: str = "",
    details: Mapping[str, str] | None = None,
    now: float | None = None,
) -> None:
    """Open an alert, or say once more that it is so: one open alert per `key`.

    `key` is stable ("instance.source.tills.quarantined"). A severity only rises while it is open.
    One that was resolved moments ago, and nobody was told yet, is open again: what comes and goes
    is one alert. When the severity rises, an acknowledgement no longer counts.
    """
    at = time.time() if now is None else now
    told = {"summary": summary, "hint": hint, "details": json.dumps(dict(details or {}))}
    with state.transaction(durably=True) as connection:
        known = connection.execute(
            "SELECT id, severity, acknowledged FROM alert WHERE key = ? AND settled IS NULL "
            "ORDER BY resolved IS NOT NULL, id DESC LIMIT 1",
            [key],
        ).fetchone()
        if known is None:
            connection.execute(
                "INSERT INTO alert (key, severity, source, started, last, summary, hint, details) "
                "VALUES (:key, :severity, :source, :at, :at, :summary, :hint, :details)",
                {"key": key, "severity": severity, "source": source, "at": at, **told},
            )
            return
        worse = SEVERITIES.index(severity) > SEVERITIES.index(known["severity"])
        connection.execute(
            "UPDATE alert SET resolved = NULL, last = :at, count = count + 1, summary = :summary, "
            "hint = :hint, details = :details, severity = :severity WHERE id = :id",
            {"id": known["id"], "at": at, "severity": severity if worse else known["severity"],
             **told},
        )  # fmt: skip
        if worse and known["acknowledged"] is not None:
            # Receivers stay silent about what was acknowledged: it becomes a message of its own.
            connection.execute(
                "UPDATE alert SET acknowledged = NULL, acknowledged_by = NULL, group_key = NULL, "
                "told = NULL, escalated = NULL, escalation = 0 WHERE id = ?",
                [known["id"]],
            )


def resolve_alert(state: State, key: str, *, now: float | None = None) -> None:
    """Say that it is over; nothing happens if no such alert is open."""
    at = time.time() if now is None else now
    with state.transaction(durably=True) as connection:
        connection.execute(
            "UPDATE alert SET resolved = ?, last = ? WHERE key = ? AND resolved IS NULL",
            [at, at, key],
        )
