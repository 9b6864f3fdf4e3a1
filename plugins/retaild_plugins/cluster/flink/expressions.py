"""Computes the SQL of the steps on Arrow tables, as DuckDB does: Flink's Python has no DuckDB.

Only what is exact and the same on both sides is computed at all: there is no division, no rounding
of DOUBLE, no text read as a number. Everything else is refused (NotLoweredError) by `type_of`,
before a job is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retaild.pipeline.steps import arrow_type
from retaild_plugins.cluster.flink.sql_text import Node, NotLoweredError

#: With two sides. Whole numbers that do not fit are an error, never another number.
_BINARY: dict[str, Callable[..., Any]] = {
    "+": pc.add_checked,
    "-": pc.subtract_checked,
    "*": pc.multiply_checked,
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "AND": pc.and_kleene,
    "OR": pc.or_kleene,
}
_ARITHMETIC = frozenset("+-*")
#: Of a DECIMAL.
_DIGITS = 38


def evaluate(node: Node, table: pa.Table) -> pa.ChunkedArray:
    """Its value for each row; null where a CAST to DECIMAL does not fit.

    Raises NotLoweredError; pa.ArrowException where one row has no value for another reason.
    """
    value = _value(node, table)
    if isinstance(value, pa.Scalar):
        value = pa.repeat(value, table.num_rows)
    return value if isinstance(value, pa.ChunkedArray) else pa.chunked_array([value], value.type)


def type_of(node: Node, schema: pa.Schema) -> pa.DataType:
    """Of its values for rows of this schema. Raises NotLoweredError."""
    try:
        return evaluate(node, schema.empty_table()).type
    except (pa.ArrowException, KeyError) as error:
        raise NotLoweredError(str(error)) from error


def cast(value: Any, name: str) -> Any:
    """As the step's type of this name. Raises NotLoweredError."""
    try:
        target = arrow_type(name)
    except ValueError as error:
        raise NotLoweredError(str(error)) from error
    source = value.type
    if source == target:
        return value
    if pa.types.is_decimal(target) and (pa.types.is_decimal(source) or _whole(source)):
        return _as_decimal(value, target)
    if pa.types.is_null(source) or (_whole(source) and target in (pa.int64(), pa.float64())):
        return pc.cast(value, target)
    raise NotLoweredError(f"there is no exact CAST of {source} to {name}")


def _as_decimal(value: Any, target: pa.Decimal128Type) -> Any:
    """Rounded half away from zero, null where it has too many digits."""
    if not pa.types.is_decimal(value.type):
        value = pc.cast(value, pa.decimal128(19, 0))
    if value.type.scale > target.scale:
        value = pc.round(value, ndigits=target.scale, round_mode="half_towards_infinity")
    # Of the value's own width, 128 or 256 bits: these are compared.
    kind = pa.decimal256 if pa.types.is_decimal256(value.type) else pa.decimal128
    most = pa.scalar(
        Decimal((0, (9,) * target.precision, -target.scale)), kind(target.precision, target.scale)
    )
    fits = pc.less_equal(pc.abs(value), most)
    return pc.cast(pc.if_else(fits, value, pa.scalar(None, value.type)), target)


def _value(node: Node, table: pa.Table) -> Any:
    """An array or a scalar."""
    match node.kind:
        case "column":
            if node.text not in table.schema.names:
                raise NotLoweredError(f"there is no column {node.text}")
            return table[node.text]
        case "number":
            return pa.scalar(Decimal(node.text) if "." in node.text else int(node.text))
        case "text":
            return pa.scalar(node.text)
        case "NULL":
            return pa.scalar(None)
        case "TRUE" | "FALSE":
            return pa.scalar(node.kind == "TRUE")
    return _computed(node, [_value(part, table) for part in node.parts])


def _computed(node: Node, values: list[Any]) -> Any:
    match node.kind:
        case kind if kind in _BINARY:
            if kind in _ARITHMETIC and not all(_exact(value.type) for value in values):
                raise NotLoweredError(f"{kind} is exact for DECIMAL and BIGINT only")
            if kind in _ARITHMETIC:
                values = _roomy(values)
            return _BINARY[kind](*values)
        case "NOT":
            return pc.invert(values[0])
        case "negative":
            return pc.negate(values[0])
        case "IS NULL":
            return pc.is_null(values[0])
        case "IN":
            return _within(values[0], values[1:])
        case "CAST":
            return cast(values[0], node.text)
        case "COALESCE":
            return pc.coalesce(*values)
        case "CASE":
            return _case(values)
    raise NotLoweredError(f"{node.kind} cannot be computed for a row")


def _roomy(values: list[Any]) -> list[Any]:
    """The two sides, as 256-bit decimals where the result may have more than 38 digits."""
    kinds = [value.type for value in values]
    decimals = [kind for kind in kinds if pa.types.is_decimal(kind)]
    digits = sum(kind.precision for kind in decimals) + 19 * (len(kinds) - len(decimals))
    if not decimals or digits < _DIGITS:
        return values
    return [
        pc.cast(value, pa.decimal256(kind.precision, kind.scale)) if kind in decimals else value
        for value, kind in zip(values, kinds, strict=True)
    ]


def _within(value: Any, choices: list[Any]) -> Any:
    if not all(isinstance(choice, pa.Scalar) and choice.is_valid for choice in choices):
        raise NotLoweredError("IN is understood with a list of literals only")
    wanted = pa.array([choice.as_py() for choice in choices]).cast(value.type)
    return pc.if_else(
        pc.is_valid(value), pc.is_in(value, value_set=wanted), pa.scalar(None, pa.bool_())
    )


def _case(values: list[Any]) -> Any:
    *pairs, value = values
    for place in range(len(pairs) - 2, -1, -2):
        value = pc.if_else(pc.fill_null(pairs[place], False), pairs[place + 1], value)
    return value


def _whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


def _exact(kind: pa.DataType) -> bool:
    return _whole(kind) or bool(pa.types.is_decimal(kind))
