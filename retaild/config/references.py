"""What a configuration refers to: secrets kept elsewhere, and paths beside the file.

Driven by the types of the plugin's model: a `SecretStr` is written `{file = "..."}` or
`{credential = "..."}` (a systemd credential), and a relative `Path` starts at the main file.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from retaild.api.errors import ConfigError
from retaild.config.explain import plain_type

_KINDS = ("file", "credential")


class SecretError(ConfigError):
    key = "config.secret"

    def __init__(self, name: str, reason: str, hint: str) -> None:
        super().__init__(f"The secret {name!r} {reason}.", hint=hint)


def resolve(model: type[BaseModel], values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """`values` with secrets read and relative paths joined to `base`.

    Raises SecretError for a secret that stands in the file itself or cannot be read.
    """
    return {
        key: _resolved(plain_type(info.annotation), values[key], key, base)
        if (info := model.model_fields.get(key))
        else values[key]
        for key in values
    }


def _resolved(kind: Any, value: Any, name: str, base: Path) -> Any:
    if kind is SecretStr:
        return read_secret(name, value, base)
    if kind is Path and isinstance(value, str):
        return base / value
    if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, Mapping):
        return resolve(kind, value, base)
    inner = typing.get_args(kind)
    if typing.get_origin(kind) in (list, tuple) and isinstance(value, list) and inner:
        return [_resolved(plain_type(inner[0]), item, name, base) for item in value]
    if typing.get_origin(kind) in (dict, Mapping) and isinstance(value, Mapping):
        return {key: _resolved(plain_type(inner[1]), v, key, base) for key, v in value.items()}
    return value


def read_secret(name: str, value: Any, base: Path) -> SecretStr:
    """The secret that `value` refers to, without the newline editors put at a file's end."""
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in _KINDS:
        hint = f'Put it in a file and write {name} = {{file = "/etc/retaild/secrets/{name}"}}.'
        raise SecretError(name, "may not stand in the configuration itself", hint)
    readers: dict[str, Callable[[str], Path]] = {"file": base.joinpath, "credential": _credential}
    how, place = next(iter(value.items()))
    path = readers[how](str(place))
    try:
        return SecretStr(path.read_text("utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        hint = "Check the path and that retaild's user may read it."
        raise SecretError(name, f"cannot be read from {path}: {reason.lower()}", hint) from None


def _credential(name: str) -> Path:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        hint = f"Add LoadCredential={name}:PATH to the unit, or use {{file = ...}}."
        raise SecretError(name, "is a systemd credential, but systemd passed none", hint)
    return Path(directory) / name
