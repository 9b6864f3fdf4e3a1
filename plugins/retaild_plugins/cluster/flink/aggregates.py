"""The aggregates of a step `Window`, added up piece by piece: exact, whatever the order."""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retaild.pipeline.steps import Column
from retaild_plugins.cluster.flink.expressions import cast, evaluate, type_of
from retaild_plugins.cluster.flink.sql_text import Node, NotLoweredError, parsed

_KINDS = frozenset({"COUNT", "COUNT DISTINCT", "SUM", "MIN", "MAX"})
#: Digits of a DECIMAL; a sum of these never has to be rounded.
_DIGITS = 38
_EXACT = decimal.Context(prec=2 * _DIGITS)


@dataclass(frozen=True, slots=True)
class _Call:
    """One aggregate function; without an argument, COUNT(*)."""

    kind: str
    argument: Node | None

    def type(self, schema: pa.Schema) -> pa.DataType:
        """Of its result over rows of this schema. Raises NotLoweredError."""
        argument = type_of(self.argument, schema) if self.argument else pa.null()
        if self.kind in ("COUNT", "COUNT DISTINCT"):
            return pa.int64()
        if self.kind != "SUM":
            return argument
        if pa.types.is_decimal(argument):
            return pa.decimal128(_DIGITS, argument.scale)
        if pa.types.is_integer(argument):
            return pa.decimal128(_DIGITS, 0)
        raise NotLoweredError(f"the SUM of {argument} is not exact")


class Aggregates:
    """Raises NotLoweredError for what cannot be computed over rows of this schema.

    A state is plain Python, one item for each function: it lies in Flink's checkpoints.
    """

    def __init__(self, columns: Sequence[Column], schema: pa.Schema) -> None:
        self._columns, self._calls = columns, list[_Call]()
        self._results = [self._lifted(parsed(column.expression)) for column in columns]
        self._types = [call.type(schema) for call in self._calls]
        own = pa.schema([(_name(n), kind) for n, kind in enumerate(self._types)])
        for column, node in zip(columns, self._results, strict=True):
            cast(pa.nulls(0, type_of(node, own)), column.type)

    def arguments(self, rows: pa.Table) -> list[pa.ChunkedArray]:
        """What the functions are computed of, for each row; in the order of `add`."""
        found = [evaluate(call.argument, rows) for call in self._calls if call.argument]
        return [values.combine_chunks() for values in found]

    def nothing(self) -> list[Any]:
        """The state of no rows."""
        return [
            set() if call.kind == "COUNT DISTINCT" else 0 if call.kind == "COUNT" else None
            for call in self._calls
        ]

    def add(self, state: list[Any], arguments: Sequence[pa.Array], rows: int) -> list[Any]:
        """The state with these rows as well; the one before may be changed."""
        values = iter(arguments)
        return [
            _added(call.kind, before, next(values) if call.argument else None, rows)
            for call, before in zip(self._calls, state, strict=True)
        ]

    def result(self, state: list[Any]) -> tuple[str | None, ...]:
        """The columns' values, as text."""
        numbers = [len(own) if isinstance(own, set) else own for own in state]
        arrays = [pa.array([n], kind) for n, kind in zip(numbers, self._types, strict=True)]
        table = pa.table(arrays, names=[_name(n) for n in range(len(arrays))])
        found = [
            cast(evaluate(node, table), column.type)
            for column, node in zip(self._columns, self._results, strict=True)
        ]
        return tuple(values.cast(pa.string())[0].as_py() for values in found)

    def _lifted(self, node: Node) -> Node:
        """The expression over the functions' results."""
        if node.kind not in _KINDS:
            if node.kind == "column":
                raise NotLoweredError(f"{node.text} stands in no aggregate function")
            return Node(node.kind, tuple(self._lifted(part) for part in node.parts), node.text)
        call = _Call(node.kind, node.parts[0] if node.parts else None)
        if len(node.parts) > 1 or any(own.kind in _KINDS for p in node.parts for own in p.nodes()):
            raise NotLoweredError(f"{node.kind} is understood with one value of each row only")
        self._calls.append(call)
        return Node("column", (), _name(len(self._calls) - 1))


def _name(number: int) -> str:
    return f"_{number}"


def _added(kind: str, before: Any, values: pa.Array | None, rows: int) -> Any:
    if kind == "COUNT":
        return before + (rows if values is None else rows - values.null_count)
    assert values is not None
    if kind == "COUNT DISTINCT":
        before.update(values.drop_null().unique().to_pylist())
        return before
    if kind == "SUM":
        scale = values.type.scale if pa.types.is_decimal(values.type) else 0
        number = pc.sum(values.cast(pa.decimal128(_DIGITS, scale))).as_py()
        if before is None or number is None:
            return number if before is None else before
        return _EXACT.add(before, number)
    number = (pc.min if kind == "MIN" else pc.max)(values).as_py()
    if before is None or number is None:
        return number if before is None else before
    return min(before, number) if kind == "MIN" else max(before, number)
