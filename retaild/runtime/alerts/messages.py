"""Notifications: made of rows of the state, kept in it as JSON, and read back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from retaild.api.alert import SEVERITIES, Action, Alert, Notification, Severity

#: A message names no more alerts than this, the worst first.
MAX_ALERTS = 50


def alert_of(row: Mapping[str, Any]) -> Alert:
    """The alert in a row of the state's table."""
    details = row["details"]
    return Alert(
        key=row["key"],
        severity=row["severity"],
        summary=row["summary"],
        source=row["source"],
        started=row["started"],
        hint=row["hint"],
        details=json.loads(details or "{}") if isinstance(details, str) else details or {},
        count=row["count"],
        resolved=row["resolved"],
    )


def worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    """The most severe first, among equals the oldest; no more than a message holds."""
    order = sorted(alerts, key=lambda a: (-SEVERITIES.index(a.severity), a.started, a.key))
    return order[:MAX_ALERTS]


def notification(
    group: str,
    action: Action,
    alerts: Sequence[Alert],
    *,
    store: str,
    url: str,
    escalation: int,
    by: str = "",
) -> Notification:
    """A new message with an id of its own. `by`: who acknowledged."""
    shown = worst_first(alerts)
    severity: Severity = shown[0].severity
    return Notification(
        id=uuid.uuid4().hex,
        group=group,
        action=action,
        severity=severity,
        summary=_summary(action, shown[0].summary, len(alerts), by),
        alerts=tuple(shown),
        store=store,
        url=url,
        escalation=escalation,
    )


def _summary(action: Action, worst: str, count: int, by: str) -> str:
    said = worst if count == 1 else f"{count} alerts: {worst}"
    if action == "acknowledge":
        return f"Acknowledged by {by}: {said}" if by else f"Acknowledged: {said}"
    return f"Resolved: {said}" if action == "resolve" else said


def to_json(notification: Notification) -> str:
    return json.dumps(asdict(notification), default=dict)


def from_json(data: str | Mapping[str, Any]) -> Notification:
    """Also of what the state has decoded already."""
    values = dict(json.loads(data) if isinstance(data, str) else data)
    values["alerts"] = tuple(Alert(**alert) for alert in values["alerts"])
    return Notification(**values)
