"""The stream processor: a query a backlog, which carries micro-batches into the lake.

The lake itself says how far it is (`bronze.progress`, and each table's own transaction), not a
checkpoint of the query: so any stream processor carries on where any other stopped, and a driver
that was killed at any moment neither loses nor repeats a row. A query's checkpoint is thrown away
with it.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pyarrow as pa

from retaild.api import BuildContext, Bus, ConfigError, Lake, StreamProgress
from retaild.api.bus import Topic, TopicBacked
from retaild.api.kafka import java_settings
from retaild.pipeline.carry.carrier import LakeAheadError, LakeWriteError
from retaild.pipeline.letters import Letter, letter_table
from retaild.pipeline.stream_table import StreamTable
from retaild.pipeline.streams import PROGRESS_TABLE, stream_pipelines
from retaild_plugins.cluster.spark.config import SparkStreamConfig
from retaild_plugins.cluster.spark.session import SESSIONS
from retaild_plugins.cluster.spark.stream.decoding import (
    LETTERS,
    POSITION,
    UNKNOWN,
    entries_of,
    rows_of,
)
from retaild_plugins.cluster.spark.stream.family import SparkFamily, letters_in

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

_log = logging.getLogger(__name__)

#: A step waits so long for its query (seconds): the worker gives signs of life between steps.
STEP_SECONDS = 5.0
#: Entries of one of Spark's micro-batches at most; it is carried in pieces of `batch_rows`.
_ENTRIES = 20_000


class SparkProcessor:
    def __init__(self, config: SparkStreamConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._lake = Lake(context.lake_dir)
        self._bus: Bus | None = None
        self._topic: Topic | None = None
        self._session: SparkSession | None = None
        self._families: dict[str, SparkFamily] = {}
        self._marker = StreamTable(self._lake, PROGRESS_TABLE, pa.schema([("offset", pa.int64())]))
        self._query: StreamingQuery | None = None
        self._checkpoint: Path | None = None
        self._lock = threading.Lock()
        self._done = StreamProgress(0, 0)
        self._written = self._duplicates = 0
        self._sound = False

    def open(self, bus: Bus) -> StreamProgress:
        """Raises ConfigError unless the log is in Kafka, LakeAheadError, and LakeWriteError, after
        which it may be opened again.
        """
        if not isinstance(bus, TopicBacked):
            raise ConfigError(
                "Spark reads the log from Kafka itself, but this log is not in Kafka.",
                hint='Set [bus] plugin = "kafka", or [stream] plugin = "embedded".',
            )
        self._bus, self._topic = bus, bus.topic()
        self._context.state_dir.mkdir(parents=True, exist_ok=True)
        if self._session is None:
            self._session = SESSIONS.acquire(self._config, self._context)
        try:
            self._load()
        except _spark_errors() as error:
            raise LakeWriteError(error) from error
        return self._done

    def step(self) -> StreamProgress:
        """Raises LakeWriteError; the next step begins anew at what the lake has."""
        assert self._bus is not None, "the stream processor is not open"
        try:
            if not self._sound:
                self._load()
            if self._query is None and self._done.offset < self._bus.end().offset:
                self._query = self._begin()
            if self._query is not None and self._query.awaitTermination(STEP_SECONDS):
                self._end_query()
        except _spark_errors() as error:
            self._sound = False
            self._end_query()
            raise LakeWriteError(error) from error
        with self._lock:
            written, duplicates = self._written, self._duplicates
            self._written = self._duplicates = 0
            return StreamProgress(self._done.offset, self._done.rows, written, duplicates)

    def close(self) -> None:
        if self._session is None:
            return
        try:
            self._end_query()
        finally:
            self._session = self._bus = None
            SESSIONS.release()

    def _load(self) -> None:
        """Learn from the lake how far it is; also after a failed step."""
        assert self._bus is not None
        assert self._session is not None
        self._families = {
            name: SparkFamily(pipeline, self._lake, self._session)
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
        self._done = StreamProgress(offset, rows)
        self._sound = True

    # -- the query -----------------------------------------------------------------------------

    def _begin(self) -> StreamingQuery:
        """Carry all that is in the topic now."""
        assert self._session is not None
        self._checkpoint = Path(mkdtemp(prefix="checkpoint-", dir=self._context.state_dir))
        records = self._session.readStream.format("kafka").options(**self._options()).load()
        return (
            records.writeStream.foreachBatch(self._carry)
            .option("checkpointLocation", str(self._checkpoint))
            .trigger(availableNow=True)
            .start()
        )

    def _options(self) -> dict[str, str]:
        topic = self._topic
        assert topic is not None
        first = self._done.offset - topic.base.offset
        security = {f"kafka.{key}": value for key, value in java_settings(topic.client).items()}
        return security | {
            "kafka.bootstrap.servers": topic.bootstrap_servers,
            "assign": json.dumps({topic.name: [0]}),
            "startingOffsets": json.dumps({topic.name: {"0": first}}),
            "includeHeaders": "true",
            "maxOffsetsPerTrigger": str(_ENTRIES),
            "minPartitions": str(self._context.threads),
        }

    def _end_query(self) -> None:
        query, self._query = self._query, None
        if query is not None:
            query.stop()
        if self._checkpoint is not None:
            shutil.rmtree(self._checkpoint, ignore_errors=True)
            self._checkpoint = None

    # -- in the query's thread -----------------------------------------------------------------

    def _carry(self, records: DataFrame, _number: int) -> None:
        assert self._topic is not None
        entries = entries_of(records, self._topic.base.offset).persist()
        try:
            index = entries.select("offset", "family", "rows", "rows_before").toArrow()
            for piece in pieces(index.sort_by("offset"), self._config.batch_rows):
                self._carry_piece(entries, piece)
        finally:
            entries.unpersist()

    def _carry_piece(self, entries: DataFrame, index: pa.Table) -> None:
        """Some entries into all tables; the marker last."""
        first, last = index["offset"][0].as_py(), index["offset"][-1].as_py()
        until = last + 1
        own = entries.where(f"offset BETWEEN {first} AND {last}")
        found = set(index["family"].to_pylist())
        known = found & set(self._families) - {UNKNOWN}
        letters: list[pa.Table] = []
        counts = [self._carry_family(own, name, until, letters) for name in sorted(known)]
        if letters or found - known:
            counts.append(self._carry_letters(own, known, until, letters))
        self._marker.mark(until)
        rows = index["rows_before"][-1].as_py() + index["rows"][-1].as_py()
        with self._lock:
            self._done = StreamProgress(until, rows)
            self._written += sum(written for written, _ in counts)
            self._duplicates += sum(duplicates for _, duplicates in counts)

    def _carry_family(
        self, entries: DataFrame, name: str, until: int, letters: list[pa.Table]
    ) -> tuple[int, int]:
        decoded = self._decoded(entries.where(f"family = '{name}'"), name, letters)
        try:
            rows = decoded.where(f"{LETTERS} IS NULL").drop(LETTERS)
            written, duplicates, own = self._families[name].write(rows, until)
        finally:
            decoded.unpersist()
        letters += self._tables(own)
        return written, duplicates

    def _carry_letters(
        self, entries: DataFrame, known: set[str], until: int, letters: list[pa.Table]
    ) -> tuple[int, int]:
        """Dead letters come from the doors, from entries of no known family, and from `letters`."""
        from pyspark.sql import functions as F

        assert self._session is not None
        rest = entries.where(~F.col("family").isin(sorted(known)))
        decoded = self._decoded(rest, UNKNOWN, letters)
        try:
            rows = decoded.where(f"{LETTERS} IS NULL").drop(LETTERS)
            if letters:
                own = pa.concat_tables(letters)
                own = own.append_column(POSITION, pa.array(range(-own.num_rows, 0), pa.int64()))
                rows = rows.unionByName(self._session.createDataFrame(own))
            written, duplicates, _ = self._families[UNKNOWN].write(rows, until)
        finally:
            decoded.unpersist()
        return written, duplicates

    def _decoded(self, entries: DataFrame, family: str, letters: list[pa.Table]) -> DataFrame:
        """The rows of a family, kept; their letters are added to `letters`."""
        decoded = rows_of(entries, family, self._context.store).persist()
        found = letters_in(
            decoded.where(f"{LETTERS} IS NOT NULL").select(LETTERS).toArrow()[LETTERS]
        )
        if found is not None:
            letters.append(found)
        return decoded

    def _tables(self, letters: list[Letter]) -> list[pa.Table]:
        return [letter_table(letters, self._context.store)] if letters else []


def pieces(index: pa.Table, batch_rows: int) -> Iterator[pa.Table]:
    """Successive entries that hold about so many rows together, at least one entry each."""
    start = rows = 0
    for place, count in enumerate(index["rows"].to_pylist()):
        if place > start and rows + count > batch_rows:
            yield index.slice(start, place - start)
            start, rows = place, 0
        rows += count
    if index.num_rows:
        yield index.slice(start)


def _spark_errors() -> tuple[type[Exception], ...]:
    from deltalake.exceptions import DeltaError
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return (PySparkException, Py4JError, DeltaError, OSError)
