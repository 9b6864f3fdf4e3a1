"""Opsgenie's Alert API v2: https://docs.opsgenie.com/docs/alert-api."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from retaild.api import Notification, Severity
from retaild.api.http import accepted, post
from retaild_plugins.alerts.opsgenie.config import OpsgenieConfig

NAME = "Opsgenie"
MAX_MESSAGE, MAX_ALIAS, MAX_DESCRIPTION, MAX_ENTITY, MAX_SOURCE = 130, 512, 15_000, 512, 100
MAX_TAGS, MAX_TAG, MAX_DETAILS = 20, 50, 8000

PRIORITIES: dict[Severity, str] = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}


class OpsgenieSink:
    def __init__(self, config: OpsgenieConfig) -> None:
        self._config = config
        self._key = config.api_key.get_secret_value()

    def open(self) -> None:
        """There is nothing to open: each call is a request of its own."""

    def send(self, notification: Notification) -> None:
        path, body = self._request(notification)
        headers = {
            "Authorization": f"GenieKey {self._key}",
            "Content-Type": "application/json",
            "User-Agent": "retaild",
        }
        answer = post(
            NAME, self._config.url.rstrip("/") + path, json.dumps(body).encode(), headers,
            timeout=self._config.timeout_seconds, ca_file=self._config.ca_file,
        )  # fmt: skip
        accepted(NAME, answer, 202, hide=[self._key])

    def _request(self, notification: Notification) -> tuple[str, dict[str, Any]]:
        alias = notification.group_key(MAX_ALIAS)
        if notification.action == "trigger":
            return "/v2/alerts", self._alert(notification, alias)
        verb = "close" if notification.action == "resolve" else "acknowledge"
        path = f"/v2/alerts/{quote(alias, safe='')}/{verb}?identifierType=alias"
        return path, {"source": _source(notification), "note": notification.summary[:MAX_MESSAGE]}

    def _alert(self, notification: Notification, alias: str) -> dict[str, Any]:
        first = notification.alerts[0]
        tags = ["retaild", notification.severity, first.source, *self._config.tags]
        body: dict[str, Any] = {
            "message": _cut(notification.summary, MAX_MESSAGE),
            "alias": alias,
            "description": _cut(_description(notification), MAX_DESCRIPTION),
            "tags": [tag[:MAX_TAG] for tag in tags][:MAX_TAGS],
            "details": _details(notification),
            "entity": first.key[:MAX_ENTITY],
            "source": _source(notification),
            "priority": PRIORITIES[notification.severity],
        }
        if self._config.teams:
            body["responders"] = [{"name": team, "type": "team"} for team in self._config.teams]
        return body

    def close(self) -> None:
        """Nothing is held."""


def _source(notification: Notification) -> str:
    return f"retaild {notification.store}"[:MAX_SOURCE]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _description(notification: Notification) -> str:
    parts = [
        f"{alert.severity.upper()} {alert.summary}\n{alert.hint}\nsince {_moment(alert.started)}"
        for alert in notification.alerts
    ]
    return "\n\n".join([*parts, notification.url]).strip()


def _details(notification: Notification) -> dict[str, str]:
    """Names and values may hold 8,000 characters in all."""
    facts = {
        "store": notification.store,
        "notification": notification.id,
        "escalation": str(notification.escalation),
        **notification.alerts[0].details,
    }
    kept: dict[str, str] = {}
    room = MAX_DETAILS
    for name, value in facts.items():
        cut = _cut(value, 1000)
        room -= len(name) + len(cut)
        if room < 0:
            break
        kept[name] = cut
    return kept


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")
