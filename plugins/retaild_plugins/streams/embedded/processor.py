"""The stream processor: reads the log, writes bronze, silver and windows."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa
from deltalake.exceptions import DeltaError

from retaild.api import BuildContext, Bus, Lake, RetaildError, StreamProgress
from retaild.api.errors import TransientError
from retaild.pipeline.streams import PROGRESS_TABLE, stream_pipelines
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.decode import MicroBatch, decode
from retaild_plugins.streams.embedded.family import FamilyStream
from retaild_plugins.streams.embedded.letters import letter_table
from retaild_plugins.streams.embedded.sql import Sql
from retaild_plugins.streams.embedded.tables import StreamTable

_DEAD = "dead_letter"


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


class EmbeddedProcessor:
    """Carries micro-batches: bronze beside silver on two cores, then windows, then the marker.

    Each table commits for itself with the log offset it has got to, so a crash between two commits
    is healed by the next run: it starts at the marker and each table leaves out what it has.
    """

    def __init__(self, config: EmbeddedStreamConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._lake = Lake(context.lake_dir)
        self._bus: Bus | None = None
        self._sql: Sql | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._families: dict[str, FamilyStream] = {}
        self._marker = StreamTable(self._lake, PROGRESS_TABLE, pa.schema([("offset", pa.int64())]))
        self._progress = StreamProgress(0, 0)
        self._sound = False

    def open(self, bus: Bus) -> StreamProgress:
        self._bus = bus
        self._sql = Sql(self._context.threads)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bronze")
        self._load()
        return self._progress

    def step(self) -> StreamProgress:
        assert self._bus is not None, "the stream processor is not open"
        try:
            if not self._sound:
                self._load()
            entries = self._bus.read(self._progress.offset, self._config.batch_rows)
            if entries:
                self._sound = False  # until all is written and memory agrees with the lake
                last = entries[-1]
                until, rows = last.offset + 1, last.rows_before + last.entry.rows
                written, duplicates = self._carry(decode(entries), until)
                self._progress = StreamProgress(until, rows, written, duplicates)
                self._sound = True
            else:
                self._progress = StreamProgress(self._progress.offset, self._progress.rows)
        except (DeltaError, OSError) as error:
            raise LakeWriteError(error) from error
        return self._progress

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
        self._families = {
            name: FamilyStream(pipeline, self._lake, self._sql)
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
        self._progress = StreamProgress(offset, rows)
        self._sound = True

    def _carry(self, batch: MicroBatch, until: int) -> tuple[int, int]:
        """Write a micro-batch; rows new in silver, and rows silver had."""
        bronze: list[Future[None]] = []
        written = duplicates = 0
        # Dead letters last: the others may add to them.
        for name in sorted(self._families, key=_DEAD.__eq__):
            rows = batch.tables.get(name)
            if name == _DEAD and batch.letters:
                own = letter_table(batch.letters, self._context.store)
                rows = own if rows is None else pa.concat_tables([rows, own])
            if rows is None or not rows.num_rows:
                continue
            counts = self._family(name, rows, batch, until, bronze)
            written, duplicates = written + counts[0], duplicates + counts[1]
        for future in bronze:
            future.result()
        self._marker.mark(until)
        return written, duplicates

    def _family(
        self,
        name: str,
        rows: pa.Table,
        batch: MicroBatch,
        until: int,
        bronze: list[Future[None]],
    ) -> tuple[int, int]:
        assert self._pool is not None
        family = self._families[name]
        bronze.append(self._pool.submit(family.write_bronze, rows, until))
        try:
            return family.write_silver(rows, batch.letters, until)
        except BaseException:
            with suppress(Exception):
                bronze[-1].result()  # nothing may go on writing while the lake is read anew
            raise
