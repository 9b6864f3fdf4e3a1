"""The job's side of the step `Window`: what of a family's events touches which window, and what a
window comes to. It runs in Flink's Python; Flink keeps its state, and the event time (watermark).

Events are added by bundles of log entries: what a bundle has for the same keys is one element of
the stream. After each, the windows that it touched say what they come to, and of which rows
(WindowValue). So the lake's side sees whether that is of all rows that silver has.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild.pipeline.steps import Dedup, Filter, Map, StreamPipeline, Window
from retaild.pipeline.streams import APPENDED_AT, OFFSET, bronze_schema, stream_pipelines
from retaild.pipeline.window_values import (
    WindowValue,
    digest,
    identities,
    joined,
    key_hashes,
)
from retaild_plugins.cluster.flink.aggregates import Aggregates
from retaild_plugins.cluster.flink.expressions import cast, evaluate, type_of
from retaild_plugins.cluster.flink.sql_text import NotLoweredError, parsed

_log = logging.getLogger(__name__)

#: A window of more rows is left to the tables: all of a window's keys lie in the job's state.
MOST_ROWS = 50_000

_SIZE_BYTES = 8
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)


class Touch(NamedTuple):
    """Rows of some keys: the keys as JSON, the newest row's time (epoch ms), the rows by window.

    No row is taken for newer than when the log took it: a till whose clock is years ahead must not
    end the windows of all others.
    """

    keys: str
    at: int
    rows: bytes


class Filling(NamedTuple):
    """What a window holds: hashes of its rows' keys, how many rows, their digest, aggregates.

    Of one that is given up, GIVEN_UP.
    """

    hashes: bytes
    rows: int
    digest: int
    aggregates: list[Any]


#: Its rows are many, or unknown: what comes for it is not even looked at.
GIVEN_UP = Filling(b"", -1, 0, [])


class FlinkWindow:
    """The windowed part of one pipeline. Raises NotLoweredError for what cannot be computed."""

    def __init__(self, pipeline: StreamPipeline) -> None:
        self._window = next(s for s in pipeline.windows() if isinstance(s, Window))
        if self._window.size % _MILLISECOND or self._window.allowed_lateness % _MILLISECOND:
            raise NotLoweredError("Flink counts in milliseconds")
        keys = [step.key for step in pipeline.rows() if isinstance(step, Dedup)]
        if len(keys) != 1:
            raise NotLoweredError("a Window needs one Dedup before it: its key tells rows apart")
        self._key = keys[0]
        try:
            self._lower(pipeline)
        except (pa.ArrowException, KeyError) as error:
            raise NotLoweredError(str(error)) from error

    def _lower(self, pipeline: StreamPipeline) -> None:
        before = [*pipeline.rows(), *pipeline.windows()]
        before = before[: before.index(self._window)]
        self._steps = [
            (step, [(column, parsed(column.expression)) for column in step.columns])
            if isinstance(step, Map)
            else (step, [(None, parsed(step.condition))])
            for step in before
            if isinstance(step, Map | Filter)
        ]
        rows = self._prepared(bronze_schema(pipeline.family).empty_table())
        for key in self._window.keys:
            type_of(parsed(key), rows.schema)
        self._aggregates = Aggregates(self._window.aggregates, rows.schema)
        self._schema = self._parts(rows, np.empty(0, np.int64)).schema

    @property
    def size_ms(self) -> int:
        return self._window.size // _MILLISECOND

    @property
    def lateness_ms(self) -> int:
        return self._window.allowed_lateness // _MILLISECOND

    def touches(self, rows: pa.Table) -> list[Touch]:
        """Of the family's events, in the order of the log."""
        rows = self._prepared(rows)
        if not rows.num_rows:
            return []
        times = rows[self._window.time].cast(pa.int64()).to_numpy()
        starts = times // (self._window.size // _MICROSECOND) * self.size_ms
        codes, names = self._keys(rows)
        order = np.lexsort((starts, codes))  # stable: the first of repeats stays the first
        codes = codes[order]
        first = np.flatnonzero(np.diff(codes, prepend=-1))
        appended = rows[APPENDED_AT].cast(pa.int64()).to_numpy()
        newest = np.maximum.reduceat(np.minimum(times, appended)[order], first) // 1000
        parts = self._parts(rows, starts).take(pa.array(order)).combine_chunks()
        (batch,) = parts.to_batches()
        ends = np.append(first[1:], batch.num_rows).tolist()
        return [
            Touch(
                names[int(codes[begin])],
                int(at),
                _squeezed(batch.slice(begin, end - begin).serialize()),
            )
            for begin, end, at in zip(first.tolist(), ends, newest, strict=True)
        ]

    def by_start(self, rows: bytes) -> Iterator[tuple[int, pa.RecordBatch]]:
        """A touch's rows of each window, which begins at (epoch ms)."""
        batch = pa.ipc.read_record_batch(_whole(rows), self._schema)
        starts = batch.column(0).to_numpy()
        first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
        for begin, end in zip(first.tolist(), [*first[1:].tolist(), len(starts)], strict=True):
            yield int(starts[begin]), batch.slice(begin, end - begin)

    def ended(self, start_ms: int, watermark_ms: int) -> bool:
        """Whether what comes for this window now is too late."""
        return start_ms + self.size_ms - 1 + self.lateness_ms <= watermark_ms

    def nothing(self) -> Filling:
        return Filling(b"", 0, 0, self._aggregates.nothing())

    def added(self, filling: Filling, rows: pa.RecordBatch) -> Filling:
        """With these rows of `by_start` as well, each key once."""
        if filling.rows < 0:
            return filling
        hashes = rows.column(1).to_numpy()
        known = np.frombuffer(filling.hashes, np.uint64)
        _, fresh = np.unique(hashes, return_index=True)
        fresh = np.sort(fresh[np.isin(hashes[fresh], known, invert=True)])
        if filling.rows + len(fresh) > MOST_ROWS:
            return GIVEN_UP
        if len(fresh) < len(hashes):
            rows = rows.take(pa.array(fresh))
        own = rows.column(2).to_numpy()
        return Filling(
            filling.hashes + rows.column(1).to_numpy().tobytes(),
            filling.rows + len(own),
            joined(filling.digest, digest(own)),
            self._aggregates.add(filling.aggregates, rows.columns[3:], len(own)),
        )

    def value(self, keys: str, start_ms: int, filling: Filling) -> WindowValue | None:
        """What the window comes to; None where the tables have to say it."""
        if filling.rows < 0:
            return None
        values = self._aggregates.result(filling.aggregates)
        columns = zip(values, self._window.aggregates, strict=True)
        if any(value is None and not column.nullable for value, column in columns):
            return None
        return WindowValue(
            tuple(json.loads(keys)), start_ms * 1000, filling.rows, filling.digest, values
        )

    def _prepared(self, rows: pa.Table) -> pa.Table:
        """Through the steps before the window, without rows of which one makes nothing."""
        for step, nodes in self._steps:
            values = [evaluate(node, rows) for _, node in nodes]
            if isinstance(step, Filter):
                rows = rows.filter(values[0])
                continue
            for (column, _), own in zip(nodes, values, strict=True):
                assert column is not None
                rows = _with(rows, column.name, cast(own, column.type))
            for column, _ in nodes:
                assert column is not None
                if not column.nullable and rows[column.name].null_count:
                    rows = rows.filter(pc.is_valid(rows[column.name]))
        return rows

    def _parts(self, rows: pa.Table, starts: NDArray[np.int64]) -> pa.Table:
        """Start of the window, hash of the key, identity, then the aggregates' arguments."""
        hashes = key_hashes(rows[self._key])
        own = [pa.array(n) for n in (starts, hashes, identities(hashes, rows[OFFSET]))]
        arrays = [*own, *self._aggregates.arguments(rows)]
        return pa.table(arrays, names=[f"c{n}" for n in range(len(arrays))])

    def _keys(self, rows: pa.Table) -> tuple[NDArray[np.int64], list[str]]:
        """A number for each row's keys, and what it stands for."""
        columns = [rows[key].cast(pa.string()) for key in self._window.keys]
        if not columns:
            return np.zeros(rows.num_rows, np.int64), ["[]"]
        encoded = [c.combine_chunks().dictionary_encode(null_encoding="encode") for c in columns]
        codes = np.zeros(rows.num_rows, np.int64)
        for one in encoded:
            codes = codes * len(one.dictionary) + one.indices.to_numpy()
        _, places, codes = np.unique(codes, return_index=True, return_inverse=True)
        chosen = [c.take(pa.array(places)).to_pylist() for c in columns]
        return codes.reshape(-1), [json.dumps(keys) for keys in zip(*chosen, strict=True)]


def _squeezed(content: pa.Buffer) -> bytes:
    """It goes through several processes: a fraction of the bytes is a fraction of the work."""
    size = int(content.size).to_bytes(_SIZE_BYTES, "big")
    return size + bytes(pa.compress(content, codec="lz4", asbytes=True))


def _whole(content: bytes) -> pa.Buffer:
    size = int.from_bytes(content[:_SIZE_BYTES], "big")
    return pa.decompress(content[_SIZE_BYTES:], decompressed_size=size, codec="lz4")


def _with(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    place = rows.schema.get_field_index(name)
    if place < 0:
        return rows.append_column(name, values)
    return rows.set_column(place, name, values)


class Starts(Protocol):
    """Flink's state: when the windows of the keys begin that lie in `Fillings`."""

    def value(self) -> list[int] | None: ...
    def update(self, value: list[int], /) -> None: ...


class Fillings(Protocol):
    """Flink's state: what each window of the keys holds."""

    def get(self, key: int, /) -> Filling: ...
    def put(self, key: int, value: Filling, /) -> None: ...
    def remove(self, key: int, /) -> None: ...


@dataclass
class OpenWindows:
    """The windows of one family in Flink's state, of the keys that Flink is at.

    A window that nobody has seen is not looked for there: that is a call to another process each.
    """

    window: FlinkWindow
    starts: Starts
    fillings: Fillings
    #: Rows that came too late.
    late: int = 0

    def touched(self, keys: str, rows: bytes, watermark_ms: int) -> list[WindowValue]:
        """What the windows come to, those that a touch's rows belong to; older ones are let go."""
        window, known = self.window, set(self.starts.value() or ())
        for start in [one for one in known if window.ended(one, watermark_ms)]:
            self.fillings.remove(start)
            known.remove(start)
        values = []
        for start, own in window.by_start(rows):
            if window.ended(start, watermark_ms):
                self.late += own.num_rows
                continue
            before = self.fillings.get(start) if start in known else window.nothing()
            filling = window.added(before, own)
            self.fillings.put(start, filling)
            known.add(start)
            values.append(window.value(keys, start, filling))
        self.starts.update(sorted(known))
        return [value for value in values if value is not None]


@cache
def flink_windows() -> dict[str, FlinkWindow]:
    """Family -> its windows, for every pipeline that has some. Raises NotLoweredError."""
    found = {}
    for family, pipeline in stream_pipelines().items():
        if any(isinstance(step, Window) for step in pipeline.windows()):
            try:
                found[family] = FlinkWindow(pipeline)
            except NotLoweredError as error:
                raise NotLoweredError(f"the windows of {family}: {error}") from error
    return found


def packed_touches(family: str, rows: pa.Table | None) -> bytes | None:
    """Of a bundle's events of one family, for `unpacked_touches`; None without any.

    What cannot be computed is not lost: the windows are then computed from the tables.
    """
    if rows is None:
        return None
    try:
        touches = flink_windows()[family].touches(rows)
    except pa.ArrowException:
        _log.exception("windows of %s are left to the tables", family)
        return None
    if not touches:
        return None
    keys, moments, parts = zip(*touches, strict=True)
    batch = pa.record_batch(
        [pa.array(keys, pa.string()), pa.array(moments, pa.int64()), pa.array(parts, pa.binary())],
        names=["keys", "at", "rows"],
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def unpacked_touches(content: bytes) -> Iterator[Touch]:
    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        columns: Iterable[list[Any]] = [c.to_pylist() for c in reader.read_all().columns]
    for own in zip(*columns, strict=True):
        yield Touch(*own)
