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
) -> None:
    """Open an alert, or say once more that it is so: one open alert per `key`.

    `key` is stable ("instance.source.tills.quarantined"). A severity only rises while it is open.
    """
    now = time.time()
    rank = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(SEVERITIES))
    with state.transaction(durably=True) as connection:
        connection.execute(
            "INSERT INTO alert (key, severity, summary, source, hint, details, started, last) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) WHERE resolved IS NULL DO UPDATE "
            "SET summary = excluded.summary, hint = excluded.hint, details = excluded.details, "
            "last = excluded.last, count = count + 1, severity = CASE WHEN "
            f"(CASE excluded.severity {rank} END) > (CASE severity {rank} END) "
            "THEN excluded.severity ELSE severity END",
            [key, severity, summary, source, hint, json.dumps(dict(details or {})), now, now],
        )


def resolve_alert(state: State, key: str) -> None:
    """Say that it is over; nothing happens if no such alert is open."""
    with state.transaction(durably=True) as connection:
        connection.execute(
            "UPDATE alert SET resolved = ?, last = ? WHERE key = ? AND resolved IS NULL",
            [time.time(), time.time(), key],
        )
