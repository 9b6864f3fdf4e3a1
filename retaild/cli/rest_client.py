"""A small client of our own REST interface: the standard library starts fastest."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from retaild.api.errors import RetaildError
from retaild.cli import exits

TIMEOUT = 30.0


class UnreachableError(RetaildError):
    key = "api.unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"The API at {url} does not answer: {reason}.",
            hint="See `retaildctl status` and `retaildctl logs serve`.",
        )


class ProblemError(RetaildError):
    """A problem+json answer, in its own words."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.key = str(problem.get("type") or "api.problem").rpartition("/")[2]
        self.exit_code = {404: exits.NOT_FOUND, 409: exits.FAILURE, 429: exits.BUSY,
                          503: exits.BUSY}.get(status, exits.FAILURE)  # fmt: skip
        message = problem.get("detail") or problem.get("title") or f"The API answered {status}."
        super().__init__(str(message), hint=str(problem.get("hint") or ""))


def call(url: str, method: str, path: str, body: Any, query: dict[str, Any]) -> Any:
    """The JSON answer of `/api/v1{path}`. Raises UnreachableError, ProblemError."""
    place = urlsplit(url)
    given = {key: value for key, value in query.items() if value is not None}
    target = "/api/v1" + path + (f"?{urlencode(given)}" if given else "")
    connection = HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=TIMEOUT)
    try:
        content = None if body is None else json.dumps(body)
        headers = {"Accept": "application/json"}
        headers |= {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, target, content, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreachableError(url, reason.lower()) from None
    finally:
        connection.close()
    return _understood(answer.status, text)


def _understood(status: int, text: bytes) -> Any:
    try:
        data = json.loads(text) if text else {}
    except ValueError:
        data = {}
    if status >= 400:
        raise ProblemError(status, data if isinstance(data, dict) else {})
    return data


def segment(text: str) -> str:
    """An id as one segment of a path, whatever it holds."""
    return quote(text, safe="")
