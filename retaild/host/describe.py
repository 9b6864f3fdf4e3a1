"""What a plugin can be told, read from its configuration model; and its sample."""

from __future__ import annotations

import enum
import types
import typing
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from retaild.config.explain import plain_type
from retaild.config.toml_text import value

_WORDS: dict[Any, str] = {
    str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path",
    SecretStr: "secret", Any: "anything",
}  # fmt: skip
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def settings_of(model: type[BaseModel], prefix: str = "") -> list[dict[str, Any]]:
    """A row per setting, nested ones by dotted name: name, type, required, default, description."""
    rows: list[dict[str, Any]] = []
    for name, info in model.model_fields.items():
        inner = plain_type(info.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += settings_of(inner, f"{prefix}{name}.")
            continue
        rows.append(_row(f"{prefix}{name}", info))
        item = _item_model(inner)
        if item is not None:
            rows += settings_of(item, f"{prefix}{name}.<name>.")
    return rows


def _row(name: str, info: FieldInfo) -> dict[str, Any]:
    default = None if info.is_required() else info.get_default(
        call_default_factory=True, validated_data={}
    )  # fmt: skip
    if isinstance(default, enum.Enum):
        default = default.value
    shown = "none" if default is None else value(default)
    return {
        "name": name,
        "type": type_words(info.annotation) + _bounds(info.metadata),
        "required": info.is_required(),
        "default": default if isinstance(default, str | int | float | bool | None) else shown,
        "default_toml": shown,
        "description": info.description or "",
    }


def _item_model(annotation: Any) -> type[BaseModel] | None:
    """The model of a table's values, for `dict[str, Model]`."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict and inner:
        item = plain_type(inner[-1])
        if isinstance(item, type) and issubclass(item, BaseModel):
            return item
    return None


def type_words(annotation: Any) -> str:
    """A type for people: "whole number", "list of text", "'a' or 'b'"."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_words(a) for a in inner if a is not type(None)))
    if origin is Literal:
        return " or ".join(repr(choice) for choice in inner)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(repr(member.value) for member in annotation)
    if origin in (list, tuple, set, frozenset):
        return f"list of {type_words(inner[0])}" if inner else "list"
    if origin is dict:
        return f"table of {type_words(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _in_full(number: float) -> str:
    """As people write it in the file: 16777216, not 1.67772e+07."""
    return str(int(number)) if number == int(number) else f"{number:g}"


def _bounds(metadata: list[Any]) -> str:
    found = [
        f"{words} {_in_full(getattr(item, name))}"
        for item in metadata
        for name, words in _BOUNDS.items()
        if isinstance(getattr(item, name, None), int | float)
    ]
    return ", " + ", ".join(found) if found else ""


def places_of(model: type[BaseModel], prefix: str = "") -> tuple[list[str], list[str]]:
    """Dotted names of the settings that are secrets, and of those that are paths."""
    secrets: list[str] = []
    paths: list[str] = []
    for name, info in model.model_fields.items():
        inner = plain_type(info.annotation)
        if inner is SecretStr:
            secrets.append(prefix + name)
        elif inner is Path:
            paths.append(prefix + name)
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            below = places_of(inner, f"{prefix}{name}.")
            secrets += below[0]
            paths += below[1]
    return secrets, paths


def sample_in(module: str) -> str:
    """The text of `sample.toml` beside a plugin's module; empty if there is none."""
    package = module.partition(":")[0].rpartition(".")[0]
    try:
        return (resources.files(package) / "sample.toml").read_text("utf-8")
    except (ModuleNotFoundError, FileNotFoundError, ValueError):
        return ""
