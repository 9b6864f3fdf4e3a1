"""One way to tell something to a server outside: for alert sinks and the like.

Standard library only. Certificates are checked, redirects are not followed (a secret must not be
sent on), times and sizes are bounded, proxies are taken from the environment.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from retaild.api.errors import ConfigError, RetaildError, TransientError

MAX_ANSWER_BYTES = 64 * 1024
#: What a wrong key, a full quota or a wrong address answers: it is mended, and then it works.
_MENDABLE = frozenset({401, 402, 403, 404, 405, 407, 408, 409, 421, 425, 429})


class RefusedError(RetaildError):
    """The receiver will never take this message."""

    key = "http.refused"

    def __init__(self, receiver: str, status: int, words: str) -> None:
        super().__init__(
            f"{receiver} refuses the message ({status}): {words}",
            hint="It is not sent again; see what is wrong with its settings.",
        )


class AwayError(TransientError):
    """The receiver cannot take it now."""

    key = "http.away"

    def __init__(self, receiver: str, reason: str) -> None:
        super().__init__(f"{receiver} did not take the message: {reason}")


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have lower-case names; `body` is cut at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def words(self, hide: Iterable[str] = ()) -> str:
        """The body as a line for people, without the secrets in `hide`."""
        text = self.body.decode("utf-8", "replace")
        for secret in filter(None, hide):
            text = text.replace(secret, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def checked_url(url: str) -> str:
    """`url` if secrets may be sent there: https, or http to this machine. Raises ValueError."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError(f"{url!r} is no address such as https://receiver.example/path")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts.hostname)):
        raise ValueError(f"{url!r} must begin with https://")
    return url


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def post(
    receiver: str,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    timeout: float = 10.0,
    ca_file: Path | None = None,
) -> Answer:
    """Send `content`; whatever was answered. Blocks up to `timeout` seconds at each step.

    `ca_file`: a PEM file of authorities to trust instead of the system's. Raises AwayError if
    there was no answer, ConfigError if `ca_file` cannot be read.
    """
    request = urllib.request.Request(checked_url(url), content, dict(headers), method="POST")
    handlers: list[Any] = [_Stay, urllib.request.HTTPSHandler(context=_trust(ca_file))]
    if _is_here(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(request, timeout=timeout) as response:
            return _answer(response.status, response.headers, response)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers, error)
    except urllib.error.URLError as error:
        raise AwayError(receiver, _reason(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise AwayError(receiver, _reason(error)) from None


def _answer(status: int, headers: Any, body: Any) -> Answer:
    named = {name.lower(): value for name, value in headers.items()}
    return Answer(status, named, body.read(MAX_ANSWER_BYTES))


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The certificates in {ca_file} cannot be read: {error}.") from None


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})."
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{' '.join(str(text).split()).lower().rstrip('.')}."


def accepted(receiver: str, answer: Answer, wanted: int, hide: Iterable[str] = ()) -> None:
    """Return if the status is `wanted`, the one that the receiver documents.

    Raises AwayError for what may work later or when a setting was mended, else RefusedError.
    """
    if answer.status == wanted:
        return
    words = answer.words(hide) or "it gave no reason."
    if answer.status in _MENDABLE or answer.status < 400 or answer.status >= 500:
        raise AwayError(receiver, f"it answered {answer.status}: {words}")
    raise RefusedError(receiver, answer.status, words)
