"""What a source's process sends: its batches as frames, and back, checked as a whole.

The sender is a stranger: everything that it says is looked at before any of it is used.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from retaild.api.source import SourceBatch
from retaild.events import FAMILIES, DeadLetter, arrow_schema
from retaild.runtime.component.channel import (
    MAX_INLINE,
    Channel,
    Frame,
    FrameError,
    seal,
    shared_memory,
)
from retaild.runtime.ingest_append import letters_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

#: Name of the hub's socket in the directory `run`.
SOCKET = "ingest.sock"
#: A position is written after every batch and must not grow with the input.
MAX_POSITION = 256 * 1024
MAX_ROWS = 1_000_000
MAX_LABEL = 2000
#: Batches that a source may be ahead at most, whatever its Spec says.
MAX_READ_AHEAD = 8
#: The longest text of the event contract, and the longest of an id.
_LONGEST_TEXT, _LONGEST_ID = 2000, 200


class WrongBatchError(FrameError):
    key = "ingest.batch"


@dataclass(frozen=True, slots=True)
class BatchFrame:
    """Ready to be sent; `close` it afterwards."""

    head: dict[str, Any]
    body: bytes = b""
    descriptor: int = -1

    def send(self, channel: Channel, waiting: Callable[[], None] | None = None) -> None:
        channel.send(self.head, self.body, self.descriptor, waiting=waiting)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


# -- writing ---------------------------------------------------------------------------------------


def write_batch(batch: SourceBatch, number: int) -> BatchFrame:
    """Raises WrongBatchError for what the other end would refuse for its size."""
    import pyarrow as pa

    position = json.dumps(batch.position)
    if len(position) > MAX_POSITION:
        raise WrongBatchError(_position_too_long(len(position)))
    letters = letters_table(batch.dead_letters) if batch.dead_letters else None
    rows = b"" if batch.rows is None else memoryview(batch.rows.astype("<i8").tobytes())
    size = batch.events.nbytes + (0 if letters is None else letters.nbytes) + len(rows)
    small = size < MAX_INLINE // 2
    descriptor = -1 if small else shared_memory()
    try:
        sink = pa.BufferOutputStream() if small else pa.OSFile(f"/proc/self/fd/{descriptor}", "wb")
        with sink:
            ends = [_write(batch.events, sink), _write(letters, sink)]
            sink.write(rows)
            ends.append(sink.tell())
            body = sink.getvalue().to_pybytes() if small else b""
        if not small:
            seal(descriptor)
    except BaseException:
        if descriptor >= 0:
            os.close(descriptor)
        raise
    head = {
        "kind": "batch", "number": number, "family": batch.family, "position": batch.position,
        "done": int(batch.done), "total": int(batch.total), "label": batch.label[:MAX_LABEL],
        "ends": ends, "numbered": batch.rows is not None,
    }  # fmt: skip
    return BatchFrame(head, body, descriptor)


def _write(table: pa.Table | None, sink: Any) -> int:
    """Where it ends; nothing is written for nothing."""
    import pyarrow as pa

    if table is not None and table.num_rows:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    end: int = sink.tell()
    return end


# -- reading ---------------------------------------------------------------------------------------


def read_batch(frame: Frame, instance: str) -> SourceBatch:
    """The batch of a frame that `instance` sent. Raises FrameError with what is wrong."""
    head, body = frame.head, frame.body()
    name = head.get("family")
    if name not in FAMILIES or name == DeadLetter.family:
        raise WrongBatchError(f"there is no event family {str(name)[:200]!r} for a source")
    ends = _whole(head.get("ends"), 3)
    if sorted([0, *ends]) != [0, *ends] or ends[2] != len(body):
        raise WrongBatchError("its parts do not fill its body")
    position = head.get("position")
    if not isinstance(position, dict):
        raise WrongBatchError("its position is not a JSON object")
    if (length := len(json.dumps(position))) > MAX_POSITION:
        raise WrongBatchError(_position_too_long(length))
    done, total = _whole([head.get("done"), head.get("total")], 2)
    label = head.get("label")
    if not isinstance(label, str) or len(label) > MAX_LABEL:
        raise WrongBatchError("its label is none")
    events = _events(body[: ends[0]], name, instance)
    letters = _letters(body[ends[0] : ends[1]], instance)
    rows = _numbers(body[ends[1] :], events.num_rows) if head.get("numbered") else None
    return SourceBatch(name, events, position, letters, done, total, label, rows)


def _whole(values: Any, count: int) -> list[int]:
    """`values` if they are `count` whole numbers from 0 on."""
    if isinstance(values, list) and len(values) == count:
        found = [value for value in values if type(value) is int and 0 <= value < 2**53]
        if len(found) == count:
            return found
    raise WrongBatchError("its counts are no whole numbers")


def _position_too_long(length: int) -> str:
    return f"its position is {length:,} bytes long, more than {MAX_POSITION:,}"


def _events(body: memoryview, family: str, instance: str) -> pa.Table:
    table = _table(body, family)
    with _as_wrong(f"its {family} events"):
        _check_events(table, instance)
    return table


def _table(body: memoryview, family: str) -> pa.Table:
    """Exactly the family's columns, and nothing beside them (no metadata)."""
    import pyarrow as pa

    schema = arrow_schema(family)
    if not len(body):
        return schema.empty_table()
    what = f"its {family} events"
    with _as_wrong(what):
        data = pa.py_buffer(body)
        _only_plain_batches(data)
        with pa.ipc.open_stream(data) as reader:
            if not reader.schema.equals(schema):
                raise WrongBatchError(f"{what} {_difference(reader.schema, schema)}")
            table = reader.read_all()
        # Offsets and lengths of a stranger's making could lead anywhere.
        table.validate(full=True)
        if table.num_rows > MAX_ROWS:
            raise WrongBatchError(f"it has {table.num_rows:,} rows, more than {MAX_ROWS:,}")
        return pa.Table.from_arrays(table.columns, schema=schema)


@contextmanager
def _as_wrong(what: str) -> Iterator[None]:
    """Whatever Arrow finds wrong is the sender's fault."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, OSError, struct.error, MemoryError) as error:
        lines = str(error).splitlines()
        raise WrongBatchError(f"{what} cannot be read ({lines[0][:200] if lines else error!r})") \
            from None  # fmt: skip


def _only_plain_batches(data: pa.Buffer) -> None:
    """Compressed ones could unpack to hundreds of times what they are."""
    import pyarrow as pa

    for index, message in enumerate(pa.ipc.MessageReader.open_stream(data)):
        if message.type != ("record batch" if index else "schema"):
            raise WrongBatchError(f"it holds a message of type {message.type!r}")
        if index and _is_compressed(message.metadata.to_pybytes()):
            raise WrongBatchError("it is compressed")


def _is_compressed(message: bytes) -> bool:
    """Whether a record batch's header has the field `compression` (Arrow's Message.fbs).

    Arrow has verified the flatbuffer when it gives the message out.
    """
    (root,) = struct.unpack_from("<I", message)
    header = _field(message, root, 2)
    (offset,) = struct.unpack_from("<I", message, header)
    return _field(message, header + offset, 3) != 0


def _field(message: bytes, table: int, number: int) -> int:
    """Place of a field of a flatbuffer table; 0 if it is not there."""
    (back,) = struct.unpack_from("<i", message, table)
    start = table - back
    (size,) = struct.unpack_from("<H", message, start)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", message, start + 4 + 2 * number)
    return table + offset if offset else 0


def _difference(found: pa.Schema, wanted: pa.Schema) -> str:
    missing = sorted(set(wanted.names) - set(found.names))
    unknown = sorted(set(found.names) - set(wanted.names))
    if missing or unknown:
        return f"lack the columns {missing} and have {[name[:80] for name in unknown][:20]}"
    for field in wanted:
        other = found.field(field.name)
        if not other.equals(field):
            return f"have the column {field.name} as {other.type}, not {field.type}"
    return "have their columns in another order"


def _check_events(table: pa.Table, instance: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if table.num_rows == 0:
        return
    for field in table.schema:
        column = table.column(field.name)
        if not field.nullable and column.null_count:
            raise WrongBatchError(f"its column {field.name} has no value in some rows")
        if pa.types.is_string(field.type):
            longest = _LONGEST_ID if field.name in ("event_id", "source") else _LONGEST_TEXT
            if _longest(column) > longest:
                raise WrongBatchError(f"its column {field.name} has longer texts than {longest}")
    if pc.min(pc.binary_length(table.column("event_id"))).as_py() == 0:
        raise WrongBatchError("some of its events have no id")
    if pc.unique(table.column("source")).to_pylist() != [instance]:
        raise WrongBatchError(f"some of its events name another source than {instance!r}")


def _longest(column: pa.ChunkedArray) -> int:
    """In signs; bytes are counted first, which is quick."""
    import pyarrow.compute as pc

    size: int = pc.max(pc.binary_length(column)).as_py() or 0
    if size <= _LONGEST_ID:
        return size
    signs: int = pc.max(pc.utf8_length(column)).as_py()
    return signs


def _letters(body: memoryview, instance: str) -> tuple[DeadLetter, ...]:
    if not len(body):
        return ()
    rows = _table(body, DeadLetter.family).to_pylist()
    try:
        letters = tuple(DeadLetter.model_validate(row) for row in rows)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise WrongBatchError(f"a dead letter's {where} is wrong: {first['msg']}") from None
    if any(letter.source != instance for letter in letters):
        raise WrongBatchError(f"some of its dead letters name another source than {instance!r}")
    return letters


def _numbers(body: memoryview, count: int) -> Any:
    import numpy as np

    if len(body) != 8 * count:
        raise WrongBatchError("it has more or fewer row numbers than rows")
    return np.frombuffer(body, "<i8")
