"""What is known of a plugin without importing it: its Spec, told by a process that did."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Names that are good in a configuration, a path and a sentence.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Facts:
    """A Spec's fields but `config` and `build`; those of its kind are attributes too."""

    name: str
    summary: str
    version: str
    api_version: int
    requires: tuple[str, ...]
    #: Fields that only this kind's Spec has: families, read_ahead, produces, supports, ...
    own: Mapping[str, Any]
    #: A row per setting, as `describe.settings_of` gives.
    settings: tuple[dict[str, Any], ...]
    #: JSON Schema of the configuration model; {} if it cannot be told.
    schema: Mapping[str, Any]
    #: Dotted names of the settings that are secrets, and of those that are paths.
    secrets: tuple[str, ...]
    paths: tuple[str, ...]
    #: The text of its `sample.toml`.
    sample: str

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["own"][name]
        except KeyError:
            raise AttributeError(f"a plugin of this kind has no {name!r}") from None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Facts:
        """From what another process said, which is not trusted: raises ValueError."""
        try:
            return cls(
                name=_name(told["name"]),
                summary=str(told["summary"])[:500],
                version=str(told["version"])[:50],
                api_version=int(told["api_version"]),
                requires=tuple(map(str, told["requires"])),
                own={key: _sequence(key, value) for key, value in told["own"].items()},
                settings=tuple(_row(row) for row in told["settings"]),
                schema=dict(told["schema"]),
                secrets=tuple(map(str, told["secrets"])),
                paths=tuple(map(str, told["paths"])),
                sample=str(told["sample"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it says nothing sensible about itself ({error})") from None


def _name(text: Any) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name (small letters, digits, '-', '_', '.')")
    return text


def _sequence(key: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return frozenset(value) if key == "supports" else tuple(value)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "type", "required", "default", "default_toml", "description")
    return {name: row[name] for name in names}
