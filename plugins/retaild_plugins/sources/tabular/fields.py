"""What the event contract asks of each field of a family, read off its model once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import pyarrow as pa

from retaild.events import arrow_schema, family


@dataclass(frozen=True, slots=True)
class Field:
    """`choices`: the only values of an enumeration; `default` None: no value is null."""

    name: str
    type: pa.DataType
    required: bool
    default: Any
    longest: int
    pattern: str
    choices: tuple[str, ...]
    not_negative: bool


@cache
def fields_of(name: str) -> tuple[Field, ...]:
    """The fields of family `name` in the model's order."""
    model = family(name).model_json_schema()
    return tuple(
        _field(column, family(name).model_fields[column.name], model, model["properties"])
        for column in arrow_schema(name)
    )


def _field(column: pa.Field, info: Any, model: Any, properties: Any) -> Field:
    schema = _plain(properties[column.name], model)
    default = None if info.is_required() else info.default
    return Field(
        name=column.name,
        type=column.type,
        required=not column.nullable and info.is_required(),
        default=default.value if isinstance(default, Enum) else default,
        longest=schema.get("maxLength", 0),
        pattern=schema.get("pattern", "") if column.type == pa.string() else "",
        choices=tuple(schema.get("enum", ())),
        not_negative=any(getattr(item, "ge", None) == 0 for item in info.metadata),
    )


def _plain(schema: Any, model: Any) -> dict[str, Any]:
    """The JSON Schema of the value itself: references followed, `null` left aside."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return {**model["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}
    if "anyOf" in schema:
        inner = next(option for option in schema["anyOf"] if option.get("type") != "null")
        return _plain(inner, model)
    return dict(schema)
