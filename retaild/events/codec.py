"""Between events and the bytes of a log entry."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from retaild.events.arrow import arrow_schema
from retaild.events.base import Event

if TYPE_CHECKING:
    import pyarrow as pa


def encode_table(table: pa.Table) -> bytes:
    """Codec `arrow`: one IPC stream, lz4-compressed (fast enough to cost less than the disk)."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def to_table(events: Sequence[Event]) -> pa.Table:
    """Events of one family (at least one) as Arrow, for a source that makes them one by one."""
    return decode_table(events[0].family, "json", encode_events(events))


def encode_events(events: Iterable[Event]) -> bytes:
    """Codec `json`: one event a line, fields without a value left out."""
    return b"\n".join(event.model_dump_json(exclude_none=True).encode() for event in events)


def decode_table(family: str, codec: str, payload: bytes) -> pa.Table:
    """The events of an entry with exactly the columns of `arrow_schema(family)`.

    Columns that an older writer did not know are null. Raises ValueError (pyarrow's or json's) if
    the bytes are not what the codec says.
    """
    import pyarrow as pa

    schema = arrow_schema(family)
    if codec == "arrow":
        try:
            with pa.ipc.open_stream(payload) as reader:
                table = reader.read_all()
        except OSError as error:  # what pyarrow finds wrong within a batch, and an early end
            raise ValueError(str(error)) from None
        # Another writer's offsets could lead anywhere in memory (the log may lie in Kafka).
        table.validate(full=True)
        return table if table.schema.equals(schema) else _conformed(table, schema)
    rows = [json.loads(line, parse_float=Decimal) for line in payload.splitlines() if line]
    return pa.table({field.name: _column(rows, field) for field in schema}, schema=schema)


def iter_events(family: str, codec: str, payload: bytes) -> Iterator[dict[str, Any]]:
    """Plain dicts for the hot path: decimals as float, times as seconds since the epoch (UTC).

    Fields without a value may be missing. A single JSON event takes microseconds.
    """
    if codec == "json":
        decoders = _json_decoders(family)
        for line in payload.splitlines():
            event = json.loads(line)
            for name, decode in decoders:
                if name in event:
                    event[name] = decode(event[name])
            yield event
        return
    table = decode_table(family, codec, payload)
    columns = [_plain(column) for column in table.columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(table.column_names, values, strict=True))


@cache
def _json_decoders(family: str) -> list[tuple[str, Callable[[str], Any]]]:
    """Fields whose JSON form is text but whose plain form is a number or bytes."""
    import pyarrow as pa

    kinds = (
        (pa.types.is_decimal, float),
        (pa.types.is_timestamp, _seconds),
        (pa.types.is_binary, base64.urlsafe_b64decode),
    )
    schema = arrow_schema(family)
    return [(f.name, decode) for f in schema for is_kind, decode in kinds if is_kind(f.type)]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _plain(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.float64())
    elif pa.types.is_timestamp(column.type):
        column = pc.divide(pc.cast(pc.cast(column, pa.int64()), pa.float64()), 1e6)
    values: list[Any] = column.to_pylist()
    return values


def _column(rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    import pyarrow as pa

    values = [row.get(field.name) for row in rows]
    if pa.types.is_decimal(field.type):
        # The models dump decimals as text: exact, and free of float.
        return pa.array([None if v is None else Decimal(v) for v in values], field.type)
    if pa.types.is_timestamp(field.type):
        return pa.array(values, pa.string()).cast(field.type)
    if pa.types.is_floating(field.type):
        return pa.array([None if v is None else float(v) for v in values], field.type)
    if pa.types.is_binary(field.type):
        return pa.array([v and base64.urlsafe_b64decode(v) for v in values], field.type)
    return pa.array(values, field.type)


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
