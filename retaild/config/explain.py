"""pydantic's errors, in sentences with file, line and what to do."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from retaild.config.documents import Document, KeyPath
from retaild.config.faults import Fault


def explain(
    error: ValidationError, model: type[BaseModel], document: Document, prefix: KeyPath = ()
) -> list[Fault]:
    """A fault per error; `prefix` is the path of `model` in the document."""
    return [_fault(details, model, document, prefix) for details in error.errors()]


def _fault(
    details: ErrorDetails, model: type[BaseModel], document: Document, prefix: KeyPath
) -> Fault:
    path = prefix + _stated(details["loc"], document, prefix)
    dotted = ".".join(path)
    kind = details["type"]
    if kind == "extra_forbidden":
        known = known_keys(model, path[len(prefix) : -1])
        return document.fault(path, _unknown(path), suggestion(path[-1], known))
    hint = describe(model, path[len(prefix) :])
    if kind == "missing":
        return document.fault(path, f"{_table(path[:-1])} needs the setting {path[-1]!r}.", hint)
    reason = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return document.fault(path, f"{dotted}: {reason}.", hint)
    value = shown(details["input"], secret=is_secret(model, path[len(prefix) :]))
    return document.fault(path, f"{dotted} is {value}, but must be {reason}.", hint)


def _stated(location: tuple[int | str, ...], document: Document, prefix: KeyPath) -> KeyPath:
    """The part of pydantic's location that is a path in the file.

    pydantic adds names of union members and the like, which nobody wrote: they are left out where
    what follows is known to the file without them.
    """
    parts = [str(part) for part in location if part != "settings"]
    path: KeyPath = ()
    for index, part in enumerate(parts):
        here = (*path, part)
        written = (*prefix, *here) in document.places or index == len(parts) - 1
        skipped = any((*prefix, *path, later) in document.places for later in parts[index + 1 :])
        if written or not skipped:
            path = here
    return path


def _unknown(path: KeyPath) -> str:
    if len(path) == 1:
        return f"There is no section [{path[0]}]."
    return f"{_table(path[:-1])} has no setting {path[-1]!r}."


def _table(path: KeyPath) -> str:
    return f"[{'.'.join(path)}]" if path else "The configuration"


def suggestion(name: str, known: typing.Iterable[str]) -> str:
    """The name that was probably meant, or all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "Remove it."


def shown(value: Any, *, secret: bool) -> str:
    if secret:
        return "set to something (not shown)"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return repr(value)


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Settings of the (nested) model at `path`."""
    found = _walk(model, path)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return [name for name in found.model_fields if name != "settings"]
    return []


def describe(model: type[BaseModel], path: KeyPath) -> str:
    """The description of the field at `path`; empty if it has none."""
    parent = _walk(model, path[:-1]) if path else None
    if isinstance(parent, type) and issubclass(parent, BaseModel):
        info = parent.model_fields.get(path[-1])
        return (info.description or "") if info else ""
    return ""


def is_secret(model: type[BaseModel], path: KeyPath) -> bool:
    return any(_walk(model, path[:length]) is SecretStr for length in range(1, len(path) + 1))


def _walk(model: Any, path: KeyPath) -> Any:
    """The type at `path` below `model`; None where the path leaves what is known."""
    here: Any = model
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            info = here.model_fields.get(part)
            here = plain_type(info.annotation) if info else None
        elif typing.get_origin(here) in (dict, Mapping, list, tuple):
            here = plain_type(typing.get_args(here)[-1])
        else:
            return None
    return here


def plain_type(annotation: Any) -> Any:
    """Without Annotated and `| None`; of other unions, the first model or else the first type."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [plain_type(m) for m in typing.get_args(annotation) if m is not type(None)]
        models = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
        return (models or members)[0]
    return annotation
