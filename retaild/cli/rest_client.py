"""A small client of our own REST interface: the standard library starts fastest.

Who may write to the data directory gets in: each call makes a key for itself, in the name of the
operating system's user, which ends within two minutes.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from retaild.api.errors import RetaildError
from retaild.cli import exits

if TYPE_CHECKING:
    from retaild.runtime.state import State

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


def system_key(state: State) -> str:
    """A key for one call."""
    from retaild.runtime.access.audit import system_name
    from retaild.runtime.access.keys import ApiKeys

    return ApiKeys(state).create_for_system(system_name())


def call(
    api: dict[str, Any], key: str, method: str, path: str, body: Any, query: dict[str, Any]
) -> Any:
    """The JSON answer of `/api/v1{path}`. `api`: the daemon's `url` and `certificate`.

    Raises UnreachableError, ProblemError.
    """
    given = {name: value for name, value in query.items() if value is not None}
    target = "/api/v1" + path + (f"?{urlencode(given)}" if given else "")
    connection = _connection(api)
    try:
        content = None if body is None else json.dumps(body)
        headers = {"Accept": "application/json", "Authorization": f"Bearer {key}"}
        headers |= {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, target, content, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreachableError(api["url"], reason.lower()) from None
    finally:
        connection.close()
    return _understood(answer.status, text)


def _connection(api: dict[str, Any]) -> HTTPConnection:
    place = urlsplit(api["url"])
    host = place.hostname or "127.0.0.1"
    if place.scheme != "https":
        return HTTPConnection(host, place.port, timeout=TIMEOUT)
    import ssl
    from http.client import HTTPSConnection

    # The very certificate that the server was given, whatever names stand in it: on the machine
    # itself it is reached by loopback, and nobody else has its key.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(api["certificate"])
    return HTTPSConnection(host, place.port, timeout=TIMEOUT, context=context)


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
