"""PagerDuty's Events API v2: https://developer.pagerduty.com/docs/events-api-v2/overview/."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from retaild.api import Alert, Notification
from retaild.api.http import accepted, post
from retaild_plugins.alerts.pagerduty.config import PagerDutyConfig

NAME = "PagerDuty"
MAX_SUMMARY, MAX_DEDUP_KEY, MAX_EVENT_BYTES = 1024, 255, 512 * 1024
#: Longer texts of one alert are cut: people read the rest on the page.
_MAX_TEXT = 2000


class PagerDutySink:
    def __init__(self, config: PagerDutyConfig) -> None:
        self._config = config
        self._key = config.routing_key.get_secret_value()

    def open(self) -> None:
        """There is nothing to open: each event is a request of its own."""

    def send(self, notification: Notification) -> None:
        content = encoded(notification, self._key)
        headers = {"Content-Type": "application/json", "User-Agent": "retaild"}
        answer = post(
            NAME, self._config.url, content, headers,
            timeout=self._config.timeout_seconds, ca_file=self._config.ca_file,
        )  # fmt: skip
        accepted(NAME, answer, 202, hide=[self._key])

    def close(self) -> None:
        """Nothing is held."""


def encoded(notification: Notification, key: str) -> bytes:
    """The event as JSON within PagerDuty's 512 KB: the least severe alerts are left out first."""
    shown = len(notification.alerts)
    while True:
        body = event(notification, key, shown)
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        if len(content) <= MAX_EVENT_BYTES or shown == 0:
            return content
        shown //= 2


def event(notification: Notification, key: str, shown: int) -> dict[str, Any]:
    """`shown`: how many alerts are told in full."""
    common = {
        "routing_key": key,
        "event_action": notification.action,
        "dedup_key": notification.group_key(MAX_DEDUP_KEY),
    }
    if notification.action != "trigger":
        return common
    link = notification.url.startswith(("http://", "https://"))
    first = notification.alerts[0]
    return {
        **common,
        "payload": {
            "summary": notification.summary[:MAX_SUMMARY],
            "source": notification.store,
            "severity": notification.severity,
            "timestamp": _moment(min(alert.started for alert in notification.alerts)),
            "component": first.source,
            "group": notification.store,
            "class": first.key,
            "custom_details": _details(notification, shown),
        },
        "client": "retaild",
        **({"client_url": notification.url} if link else {}),
        **({"links": [{"href": notification.url, "text": "All alerts"}]} if link else {}),
    }


def _details(notification: Notification, shown: int) -> dict[str, Any]:
    return {
        "alerts": [_told(alert) for alert in notification.alerts[:shown]],
        "alerts_in_all": len(notification.alerts),
        "escalation": notification.escalation,
        "notification": notification.id,
    }


def _told(alert: Alert) -> dict[str, Any]:
    return {
        "key": alert.key,
        "severity": alert.severity,
        "summary": alert.summary[:_MAX_TEXT],
        "hint": alert.hint[:_MAX_TEXT],
        "since": _moment(alert.started),
        "times": alert.count,
        **{name[:100]: value[:_MAX_TEXT] for name, value in list(alert.details.items())[:20]},
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
