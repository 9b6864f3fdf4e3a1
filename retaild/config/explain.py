"""pydantic's errors, in sentences with file, line and what to do."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from retaild.config.documents import Document, KeyPath
from retaild.config.faults import Fault

#: pydantic's kinds of error whose own words are for programmers.
_WORDS = {
    "string_type": "text, in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "a list",
    "list_type": "a list",
    "path_type": "a path, in quotes",
}


def explain(
    error: ValidationError, model: type[BaseModel], document: Document, prefix: KeyPath = ()
) -> list[Fault]:
    """A fault per error; `prefix` is the path of `model` in the document."""
    found = [(_stated(d, document, prefix), d) for d in error.errors()]
    return [
        _fault(path, details, model, document, len(prefix))
        for number, (path, details) in enumerate(found)
        if not _said_better(path, details, found[:number], found)
    ]


def _stated(details: ErrorDetails, document: Document, prefix: KeyPath) -> KeyPath:
    """The error's path in the file.

    pydantic's location also names members of unions and the like, which nobody wrote: only what
    the file has counts, and at the end the name of what is missing.
    """
    path = prefix
    parts = [str(part) for part in details["loc"] if part != "settings"]
    for index, part in enumerate(parts):
        missing = details["type"] == "missing" and index == len(parts) - 1
        if missing or (*path, part) in document.places:
            path = (*path, part)
    return path


_Found = tuple[KeyPath, ErrorDetails]


def _said_better(
    path: KeyPath, details: ErrorDetails, earlier: list[_Found], found: list[_Found]
) -> bool:
    """Where a value may be of several types, pydantic complains once for each of them.

    The complaint that says what is wrong inside counts; of mere wrong types, the first.
    """
    if not _is_type(details):
        return False
    better = any(p[: len(path)] == path and not _is_type(d) for p, d in found)
    return better or any(p == path and _is_type(d) for p, d in earlier)


def _is_type(details: ErrorDetails) -> bool:
    return details["type"].endswith("_type")


def _fault(
    path: KeyPath, details: ErrorDetails, model: type[BaseModel], document: Document, depth: int
) -> Fault:
    dotted = ".".join(path)
    kind = details["type"]
    if kind == "extra_forbidden":
        known = known_keys(model, path[depth:-1])
        return document.fault(path, _unknown(path), suggestion(path[-1], known))
    hint = describe(model, path[depth:])
    if kind == "missing":
        return document.fault(path, f"{_table(path[:-1])} needs the setting {path[-1]!r}.", hint)
    reason = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        said = f"{dotted}: {reason}." if dotted else f"{reason[:1].upper()}{reason[1:]}."
        return document.fault(_named(path, reason, document), said, hint)
    value = shown(details["input"], secret=is_secret(model, path[depth:]))
    reason = _WORDS.get(kind, reason)
    return document.fault(path, f"{dotted} is {value}, but must be {reason}.", hint)


def _named(path: KeyPath, reason: str, document: Document) -> KeyPath:
    """The setting below `path` that the reason names in quotes, if there is just one.

    A check of a whole table cannot say where in it the fault is, but its sentence mostly does.
    """
    quoted = set(re.findall(r"'([^']+)'", reason))
    below = [p for p in document.places if p[: len(path)] == path and p[-1] in quoted]
    return below[0] if len(below) == 1 else path


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
