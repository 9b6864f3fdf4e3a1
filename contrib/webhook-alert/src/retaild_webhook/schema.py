"""What is posted: version 1 of the message. Fields may be added; none changes its meaning."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from retaild.api import Alert, Notification

VERSION = 1
#: Many receivers refuse more than a megabyte.
MAX_BYTES = 512 * 1024
#: One text or one alert's details may not push all else out (signs).
MAX_TEXT = 2000
_MAX_DETAILS = 50


def encoded(notification: Notification) -> bytes:
    """The message as JSON within MAX_BYTES; of too many alerts the last ones are left out."""
    shown = len(notification.alerts)
    while True:
        text = json.dumps(_message(notification, shown), ensure_ascii=False)
        content = text.encode("utf-8", "replace")
        if len(content) <= MAX_BYTES or shown == 0:
            return content
        shown //= 2


def _message(notification: Notification, shown: int) -> dict[str, Any]:
    return {
        "version": VERSION,
        "id": notification.id,
        "group": notification.group,
        "action": notification.action,
        "severity": notification.severity,
        "summary": notification.summary[:MAX_TEXT],
        "store": notification.store,
        "url": notification.url,
        "escalation": notification.escalation,
        "alerts": [_told(alert) for alert in notification.alerts[:shown]],
        "alerts_in_all": len(notification.alerts),
    }


def _told(alert: Alert) -> dict[str, Any]:
    details = list(alert.details.items())[:_MAX_DETAILS]
    return {
        "key": alert.key,
        "severity": alert.severity,
        "summary": alert.summary[:MAX_TEXT],
        "source": alert.source,
        "hint": alert.hint[:MAX_TEXT],
        "details": {name[:200]: value[:MAX_TEXT] for name, value in details},
        "count": alert.count,
        "started": _moment(alert.started),
        "resolved": None if alert.resolved is None else _moment(alert.resolved),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
