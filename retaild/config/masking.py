"""Hiding secrets where settings are shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Settings named like this are hidden wherever they stand, in a plugin we do not know too.
_SECRET_WORDS = (
    "password", "secret", "token", "api_key", "apikey", "credential", "passphrase", "routing_key",
    "authorization", "private_key",
)  # fmt: skip
HIDDEN = "(hidden)"


def is_secret_name(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)


def is_reference(value: Any) -> bool:
    """Whether it says where a secret is kept: `{file = ...}` or `{credential = ...}`."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in (
        "file", "credential",
    )  # fmt: skip


def hide(value: Any, name: str = "") -> Any:
    """A reference to a secret may be seen (`{file = ...}`), a secret may not."""
    if isinstance(value, Mapping):
        return dict(value) if is_reference(value) else {k: hide(v, k) for k, v in value.items()}
    if is_secret_name(name) and value not in (None, ""):
        return HIDDEN
    return [hide(item, name) for item in value] if isinstance(value, list) else value
