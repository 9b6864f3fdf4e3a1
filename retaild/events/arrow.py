"""Arrow schemas, derived from the models."""

from __future__ import annotations

import types
import typing
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime

from retaild.events.base import family

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic.fields import FieldInfo


@cache
def arrow_schema(name: str) -> pa.Schema:
    """The Arrow schema of family `name`: columns in the model's order, times in microseconds UTC.

    Decimals are decimal128(18, 4) for money and (18, 3) for quantities. Raises UnknownFamilyError.
    """
    import pyarrow as pa

    return pa.schema([_column(key, info) for key, info in family(name).model_fields.items()])


def _column(name: str, info: FieldInfo) -> pa.Field:
    import pyarrow as pa

    python_type, metadata, nullable = _unwrap(info.annotation, list(info.metadata))
    return pa.field(name, _arrow_type(python_type, metadata), nullable=nullable)


def _unwrap(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any], bool]:
    """Strip Annotated and `| None`: (plain type, constraints met on the way, nullable)."""
    nullable = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *more = typing.get_args(annotation)
            metadata += more
        elif origin in (typing.Union, types.UnionType):
            nullable = True
            annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
        else:
            return annotation, metadata, nullable


def _arrow_type(python_type: Any, metadata: list[Any]) -> pa.DataType:
    import pyarrow as pa

    if python_type is Decimal:
        return pa.decimal128(18, _decimal_places(metadata))
    if python_type in (datetime, AwareDatetime):
        return pa.timestamp("us", tz="UTC")
    if isinstance(python_type, type) and issubclass(python_type, Enum):
        return pa.string()
    plain = {str: pa.string(), bool: pa.bool_(), float: pa.float64(), int: pa.int64()}
    return {**plain, bytes: pa.binary()}[python_type]


def _decimal_places(metadata: list[Any]) -> int:
    for item in metadata:
        for inner in getattr(item, "metadata", [item]):
            places = getattr(inner, "decimal_places", None)
            if places is not None:
                return int(places)
    raise TypeError("A decimal field of an event states its decimal_places.")
