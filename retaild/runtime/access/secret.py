"""Random tokens, their digests, and values that only this appliance can have signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_KEY_BYTES = 32


def new_token() -> str:
    """256 random bits as text that fits in a cookie, a header and an address."""
    return secrets.token_urlsafe(32)


def digest(token: str | bytes) -> bytes:
    """What is stored of a token. It is random, so a plain SHA-256 cannot be turned round."""
    return hashlib.sha256(token.encode() if isinstance(token, str) else token).digest()


class Signer:
    """Signs small values with a key that is kept in `path` (0600), made when first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = b""

    def sign(self, purpose: str, value: dict[str, Any], seconds: float) -> str:
        """`value` as text that `read` takes for `seconds`; anyone may read it, nobody change it."""
        content = json.dumps([value, time.time() + seconds], separators=(",", ":")).encode()
        return f"{_text(content)}.{_text(self._mac(purpose, content))}"

    def read(self, purpose: str, text: str) -> dict[str, Any] | None:
        """The value; None if it is not ours, was made for something else, or is too old."""
        content_text, _, mac = text.partition(".")
        try:
            content, given = _bytes(content_text), _bytes(mac)
        except ValueError:
            return None
        if not hmac.compare_digest(given, self._mac(purpose, content)):
            return None
        value, until = json.loads(content)
        return value if until > time.time() else None

    def _mac(self, purpose: str, content: bytes) -> bytes:
        return hmac.digest(self._secret(), purpose.encode() + b"\0" + content, "sha256")

    def _secret(self) -> bytes:
        if not self._key:
            self._key = _kept(self._path)
        return self._key


def _kept(path: Path) -> bytes:
    """The key in `path`; of two processes that make one at the same time the first one wins."""
    with suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(beside, path)
    beside.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) == _KEY_BYTES:
        return key
    path.unlink()  # a torn one; what it signed lives minutes
    raise FileNotFoundError(path)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
