"""PagerDuty and Opsgenie as their documents describe them: each field checked, states kept.

Written from PagerDuty's Events API v2 documents (github.com/PagerDuty/developer-docs) and from
docs.opsgenie.com/docs/alert-api and /docs/response. What they do not state is not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from retaild.testing.alert import HttpDesk, Received, Request, Response

SEVERITIES = {"critical", "error", "warning", "info"}


class Wrong(Exception):
    """What a receiver finds wrong with a request."""


def _texts(body: dict[str, Any], known: dict[str, int | None]) -> None:
    """Each field is known, is text, and is no longer than allowed."""
    for name, value in body.items():
        if name not in known:
            raise Wrong(f"unknown field {name}")
        if not isinstance(value, str):
            raise Wrong(f"{name} is no text")
        limit = known[name]
        if limit is not None and len(value) > limit:
            raise Wrong(f"{name} is longer than {limit}")


@dataclass
class PagerDuty:
    """`incidents`: dedup_key -> "triggered", "acknowledged" or "resolved", as the API tells."""

    routing_key: str = "R0123456789abcdef0123456789abcde"
    incidents: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        try:
            event = self._checked(request)
        except Wrong as wrong:
            body = {"status": "invalid event", "message": "Event object is invalid",
                    "errors": [str(wrong)]}  # fmt: skip
            return Response(400, json.dumps(body).encode())
        self._apply(event["dedup_key"], event["event_action"])
        text = json.dumps(event.get("payload", {}), ensure_ascii=False)
        self.received.append(Received(event["event_action"], event["dedup_key"], text))
        body = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return Response(202, json.dumps(body).encode())

    def _checked(self, request: Request) -> dict[str, Any]:
        if request.path != "/v2/enqueue" or request.method != "POST":
            raise Wrong("no such resource")
        if request.headers["content-type"] != "application/json":
            raise Wrong("not JSON")
        if len(request.body) > 512 * 1024:
            raise Wrong("larger than 512 KB")
        event: dict[str, Any] = json.loads(request.body)
        rest = {k: v for k, v in event.items() if k not in ("payload", "images", "links")}
        known = {"routing_key": 32, "event_action": None, "dedup_key": 255, "client": None,
                 "client_url": None}  # fmt: skip
        _texts(rest, known)
        if event["routing_key"] != self.routing_key:
            raise Wrong("Invalid routing key")
        if event["event_action"] not in ("trigger", "acknowledge", "resolve"):
            raise Wrong("event_action")
        if event["event_action"] == "trigger":
            self._check_payload(event)
        elif not event.get("dedup_key"):
            raise Wrong("dedup_key is missing")
        return event

    def _check_payload(self, event: dict[str, Any]) -> None:
        payload = event["payload"]
        if missing := {"summary", "source", "severity"} - set(payload):
            raise Wrong(f"payload needs {missing}")
        rest = {key: value for key, value in payload.items() if key != "custom_details"}
        _texts(rest, {"summary": 1024, "source": None, "severity": None, "timestamp": None,
                      "component": None, "group": None, "class": None})  # fmt: skip
        if not payload["summary"] or not payload["source"]:
            raise Wrong("summary and source may not be empty")
        if payload["severity"] not in SEVERITIES:
            raise Wrong("severity")
        if "timestamp" in payload:
            assert datetime.fromisoformat(payload["timestamp"]).tzinfo is not None
        if not isinstance(payload.get("custom_details", {}), dict):
            raise Wrong("custom_details is no object")
        for link in event.get("links", []):
            _texts(link, {"href": None, "text": None})
            if not urlsplit(link["href"]).netloc:
                raise Wrong("a link's href")

    def _apply(self, key: str, action: str) -> None:
        """A resolved incident is closed for good; the next trigger opens another."""
        state = self.incidents.get(key, "resolved")
        if action == "trigger":
            self.incidents[key] = "triggered" if state == "resolved" else state
        elif state != "resolved":
            self.incidents[key] = "acknowledged" if action == "acknowledge" else "resolved"


@dataclass
class Opsgenie:
    """`alerts`: alias -> its alert, with status "open" or "closed", and count."""

    api_key: str = "eb243592-faa2-4ba2-a551-1afdf565c889"
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        if request.method != "POST":
            return self._says(405, message="Method not allowed")
        if request.headers.get("content-type") != "application/json":
            return self._says(415, message="Unsupported media type")
        if request.headers.get("authorization") != f"GenieKey {self.api_key}":
            return self._says(401, message="Could not authenticate")
        try:
            body = json.loads(request.body)
        except ValueError:
            return self._says(400, message="Invalid JSON body")
        try:
            self._take(urlsplit(request.path).path, urlsplit(request.path).query, body)
        except Wrong as wrong:
            return self._says(422, message=str(wrong))
        return self._says(202, result="Request will be processed")

    def _says(self, status: int, **fields: str) -> Response:
        body = {**fields, "took": 0.302, "requestId": str(uuid4())}
        return Response(status, json.dumps(body).encode())

    def _take(self, path: str, query: str, body: dict[str, Any]) -> None:
        if path == "/v2/alerts":
            self._create(body)
            return
        match = re.fullmatch(r"/v2/alerts/([^/]+)/(acknowledge|close)", path)
        if match is None or parse_qs(query) != {"identifierType": ["alias"]}:
            raise Wrong("no such resource")
        _texts(body, {"user": 100, "source": 100, "note": 25_000})
        alias, verb = unquote(match[1]), match[2]
        # Unknown aliases are found out later, and change nothing.
        found = self.alerts.get(alias, {"status": "closed"})
        if found["status"] == "open":
            found.update({"acknowledged": True} if verb == "acknowledge" else {"status": "closed"})
        action = "acknowledge" if verb == "acknowledge" else "resolve"
        self.received.append(Received(action, alias, body.get("note", "")))

    def _create(self, body: dict[str, Any]) -> None:
        lists = ("tags", "responders", "details")
        rest = {key: value for key, value in body.items() if key not in lists}
        _texts(rest, {"message": 130, "alias": 512, "description": 15_000, "entity": 512,
                      "source": 100, "priority": None, "user": 100, "note": 25_000})  # fmt: skip
        if not body.get("message"):
            raise Wrong("Message can not be empty.")
        if body.get("priority", "P3") not in {"P1", "P2", "P3", "P4", "P5"}:
            raise Wrong("priority")
        for fault in self._list_faults(body):
            raise Wrong(fault)
        known = self.alerts.get(body["alias"])
        if known is not None and known["status"] == "open":
            known["count"] += 1
        else:
            self.alerts[body["alias"]] = {**body, "status": "open", "count": 1}
        text = f"{body['message']} {body.get('description', '')}"
        self.received.append(Received("trigger", body["alias"], text))

    def _list_faults(self, body: dict[str, Any]) -> Iterator[str]:
        tags, details = body.get("tags", []), body.get("details", {})
        if len(tags) > 20 or any(not isinstance(t, str) or len(t) > 50 for t in tags):
            yield "tags"
        if any(not isinstance(value, str) for value in details.values()):
            yield "details are no texts"
        if sum(len(key) + len(value) for key, value in details.items()) > 8000:
            yield "details are longer than 8000"
        for responder in body.get("responders", []):
            names = {"user": {"id", "username"}}.get(responder.get("type"), {"id", "name"})
            if responder.get("type") not in ("team", "user", "escalation", "schedule"):
                yield "a responder's type"
            if len(set(responder) - {"type"}) != 1 or not names & set(responder):
                yield f"a responder is named by one of {names}"
        if len(body.get("responders", [])) > 50:
            yield "responders"


def served(receiver: PagerDuty | Opsgenie, refusal: Response) -> HttpDesk:
    """The receiver on a real server."""
    desk = HttpDesk(receiver.answer, refusal)
    desk.received = receiver.received
    return desk
