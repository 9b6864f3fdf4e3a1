"""Carries micro-batches into the lake: silver first, then bronze beside windows, then the marker.

While there is more to read, silver goes ahead by some micro-batches: it is what people wait for,
and bronze is written in larger pieces. Each table commits for itself with the log offset it has got
to, so a crash between two commits is healed by the next run: it starts at the marker and each table
leaves out what it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import pyarrow as pa
from deltalake.exceptions import DeltaError

from retaild.api import BuildContext, Bus, Lake, RetaildError, StreamProgress
from retaild.api.errors import TransientError
from retaild.pipeline.carry.family import FamilyStream
from retaild.pipeline.carry.given import WindowCounts
from retaild.pipeline.carry.sql import Sql
from retaild.pipeline.entries import MicroBatch
from retaild.pipeline.letters import letter_table
from retaild.pipeline.stream_table import StreamTable
from retaild.pipeline.streams import PROGRESS_TABLE, stream_pipelines
from retaild.pipeline.window_values import WindowValue

_DEAD = "dead_letter"

#: So many micro-batches silver may be ahead of bronze and windows.
_AHEAD = 2
#: With more rows than this to finish, an import is under way: its next rows come before bronze
#: takes a core, unless none have come for so many seconds.
_IMPORT_ROWS = 50_000
_QUIET_SECONDS = 0.3


class LakeAheadError(RetaildError):
    key = "stream.lake_ahead"

    def __init__(self, committed: int, end: int) -> None:
        super().__init__(
            f"The lake has log entries up to {committed}, but the log ends at {end}: they are not "
            "of one age.",
            hint="Restore lake and log from the same backup. With a new log on purpose, move the "
            "directory lake/bronze/progress away and start again: ids keep silver right.",
        )


class LakeWriteError(TransientError):
    key = "stream.lake_write"

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"The lake could not be read or written: {error}",
            hint="It is tried again; nothing is lost, the log keeps the events.",
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Events of the log from where one asked up to `until`, an offset; `rows` of the log by then.

    It may hold rows of before, which are left out. `windows`: family -> what the engine says that
    its windows come to, whatever it knows of them.
    """

    batch: MicroBatch
    until: int
    rows: int
    windows: Mapping[str, Sequence[WindowValue]] = field(default_factory=dict)


#: Events from a log offset on, at most some of them; None while there are none.
Read = Callable[[int], Piece | None]


class Carrier:
    """The lake's side of a stream processor. `open`, then `step` again and again, then `close`.

    `given`: its pieces have windows' values.
    """

    def __init__(self, context: BuildContext, batch_rows: int, given: bool = False) -> None:
        self._context, self._batch_rows, self._given = context, batch_rows, given
        self._counted = WindowCounts()
        self._lake = Lake(context.lake_dir)
        self._bus: Bus | None = None
        self._sql: Sql | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._families: dict[str, FamilyStream] = {}
        self._marker = StreamTable(self._lake, PROGRESS_TABLE, pa.schema([("offset", pa.int64())]))
        #: Up to where all tables are written, and up to where silver is.
        self._done = self._ahead = StreamProgress(0, 0)
        self._sound = False
        self._read_at = 0.0

    def open(self, bus: Bus) -> StreamProgress:
        """Learn from the lake how far it is. Raises LakeAheadError, LakeWriteError.

        After the latter it may be opened again.
        """
        self._bus = bus
        self._sql = self._sql or Sql(self._context.threads)
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="bronze")
        try:
            self._load()
        except (DeltaError, OSError) as error:
            raise LakeWriteError(error) from error
        return self._done

    def step(self, read: Read) -> StreamProgress:
        """Carry what `read` gives for the offset that silver has got to. Raises LakeWriteError."""
        assert self._bus is not None, "the stream processor is not open"
        written = duplicates = 0
        try:
            if not self._sound:
                self._load()
            piece = read(self._ahead.offset)
            self._sound = piece is None  # until memory agrees with the lake again
            if piece is not None:
                written, duplicates = self._silver(piece)
                self._read_at = time.monotonic()
            if self._ahead != self._done and self._shall_finish(self._bus):
                self._sound = False
                self._finish()
            self._sound = True
        except (DeltaError, OSError) as error:
            raise LakeWriteError(error) from error
        return StreamProgress(self._done.offset, self._done.rows, written, duplicates)

    def window_counts(self) -> WindowCounts:
        """Windows written so far with the engine's value, and with one computed here."""
        total = WindowCounts(self._counted.given, self._counted.computed)
        for family in self._families.values():
            counts = family.window_counts()
            total.given += counts.given
            total.computed += counts.computed
        return total

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        if self._sql is not None:
            self._sql.close()
        self._pool = self._sql = self._bus = None

    def _load(self) -> None:
        """Learn from the lake how far it is; also after a failed step."""
        assert self._bus is not None
        assert self._sql is not None
        self._counted = self.window_counts()
        self._families = {
            name: FamilyStream(pipeline, self._lake, self._sql, self._given)
            for name, pipeline in stream_pipelines().items()
        }
        for family in self._families.values():
            family.load()
        self._marker.reset()
        offset, end = self._marker.committed, self._bus.end()
        if offset > end.offset:
            raise LakeAheadError(offset, end.offset)
        following = self._bus.read(offset, 1) if offset < end.offset else []
        rows = following[0].rows_before if following else end.rows
        self._done = self._ahead = StreamProgress(offset, rows)
        self._sound = True

    def _silver(self, piece: Piece) -> tuple[int, int]:
        """Write a micro-batch to silver; rows new there, and rows it had."""
        batch = piece.batch
        written = duplicates = 0
        # Dead letters last: the others may add to them.
        for name in sorted(self._families, key=_DEAD.__eq__):
            rows = batch.tables.get(name)
            if name == _DEAD and batch.letters:
                own = letter_table(batch.letters, self._context.store)
                rows = own if rows is None else pa.concat_tables([rows, own])
            if rows is not None and rows.num_rows:
                counts = self._families[name].write_silver(rows, batch.letters, piece.until)
                written, duplicates = written + counts[0], duplicates + counts[1]
        for name, values in piece.windows.items():
            self._families[name].give_windows(values)
        self._ahead = StreamProgress(piece.until, piece.rows)
        return written, duplicates

    def _shall_finish(self, bus: Bus) -> bool:
        """Now that there is time, or because memory is bounded."""
        waiting = self._ahead.rows - self._done.rows
        if waiting >= _AHEAD * self._batch_rows:
            return True
        if self._ahead.offset < bus.end().offset:
            return False
        return waiting < _IMPORT_ROWS or time.monotonic() - self._read_at > _QUIET_SECONDS

    def _finish(self) -> None:
        """Write what silver is ahead of, on two cores, and then the marker."""
        assert self._pool is not None
        until = self._ahead.offset
        bronze = [self._pool.submit(f.write_bronze, until) for f in self._families.values()]
        try:
            for family in self._families.values():
                family.write_windows(until)
        finally:
            wait(bronze)  # nothing may go on writing while the lake is read anew
        for future in bronze:
            future.result()
        self._marker.mark(until)
        self._done = self._ahead
