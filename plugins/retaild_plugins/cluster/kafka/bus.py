"""The log on Kafka: one topic, one partition, one record an entry.

Processes that share the state directory append one at a time, under a lock; where the log ends lies
in a marker that they share, so that asking for the end asks no broker. What the broker does not
confirm in time goes to the spool, and so does all that follows until the spool is empty: the order
stays.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException

from retaild.api import BuildContext, Entry, LogEnd, LogEntry, RetaildError, TransientError
from retaild.api.bus import LogTail, Topic, TrimmedError
from retaild.api.kafka import client_settings
from retaild.pipeline.filelog import End, EndMarker, ProcessLock, check_size
from retaild_plugins.cluster.kafka.base import NAME, Base, settle, take_base
from retaild_plugins.cluster.kafka.config import KafkaBusConfig
from retaild_plugins.cluster.kafka.errors import BrokerAwayError, LostEntriesError
from retaild_plugins.cluster.kafka.reader import OutOfRangeError, Reader, Readers
from retaild_plugins.cluster.kafka.sender import Outgoing, Sender, Sent
from retaild_plugins.cluster.kafka.spool import Spool
from retaild_plugins.cluster.kafka.tail import copy_waiting, make_tail, restored_end
from retaild_plugins.cluster.kafka.topic import TopicKeeper

_log = logging.getLogger(__name__)

#: Seconds between two looks at the spool and, while it is away, at the broker.
_LOOK = 0.5
#: Rows that are sent of the spool at a time: whoever appends meanwhile waits for so many.
_DRAIN_ROWS = 16_384
#: Entries of others that are read one by one to count their rows.
_COUNTED = 1000


class KafkaBus:
    """A Bus. One object may be used by several threads; reading waits for no append."""

    def __init__(self, config: KafkaBusConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._directory = context.state_dir
        self._lock = ProcessLock(self._directory / "kafka.lock")
        self._spool = Spool(self._directory / "spool", config.spool_mib)
        self._reading = threading.RLock()
        self._readers = Readers(self._make_reader)
        self._marker: EndMarker | None = None
        self._base_file = self._directory / NAME
        self._base = LogEnd(0, 0)
        self._since: int | None = None
        #: Whether `_base` is final: that of a restored directory depends on the topic.
        self._settled = True
        self._seen = LogEnd(0, 0)
        #: Known once the topic was found to be good; until then everything is spooled.
        self._topic: TopicKeeper | None = None
        self._sender: Sender | None = None
        self._fault: RetaildError | None = None
        self._closed = threading.Event()
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    # -- life ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Raises ConfigError if the topic cannot be the log; not because the broker is away."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock.open()
        self._marker = EndMarker(self._directory / "kafka.end")
        self._spool_open()
        try:
            self._prepare()
        except TransientError as error:
            _log.warning("%s", error)
        self._thread = threading.Thread(target=self._keep, name="kafka-spool", daemon=True)
        self._thread.start()

    def _spool_open(self) -> None:
        self._spool.open()
        with self._lock.held():
            base = take_base(self._base_file, self._config.topic, self._published())
            self._base, self._since, self._settled = base.start, base.since, base.origin is None

    def _prepare(self) -> None:
        """Find the topic, or make it, and where it ends. Raises BrokerAwayError, ConfigError."""
        config, client = self._config, self._client()
        topic = TopicKeeper(config, client, config.patience_seconds)
        try:
            topic.make_sure()
            with self._lock.held():
                self._reconcile(topic)
        except RetaildError:
            topic.close()
            raise
        with self._lock.held():
            self._sender = Sender(
                config.bootstrap_servers, client, topic=config.topic,
                compression=config.compression, max_bytes=config.max_message_bytes,
                patience=config.patience_seconds,
            )  # fmt: skip
            self._topic = topic

    def _reconcile(self, topic: TopicKeeper) -> None:
        """Set the marker to the topic's end: a killed writer did not get to it."""
        _, high = topic.bounds()
        self._settle(topic.identity(), high)
        end, there = self._published(), self._base.offset + high
        if there < end.offset:
            raise LostEntriesError(self._config.topic, there, end.offset)
        if there > end.offset:
            self._publish(LogEnd(there, self._rows_at(high, end)))

    def _settle(self, identity: str, high: int) -> None:
        """Of a restored directory: whether the topic is still the one of the backup."""
        base, origin = settle(self._base_file, identity, high)
        self._base, self._since, self._settled = base.start, base.since, True
        if origin is not None:
            self._spool.skip(origin.tail)
            self._publish(origin.end)
            base.write(self._base_file)

    def _rows_at(self, high: int, known: LogEnd) -> int:
        """Rows of the log up to the topic's end `high`: `known` and what others wrote since.

        Counted by reading on from there; what lies far back is taken from the records' word.
        """
        first = max(known.offset - self._base.offset, high - _COUNTED)
        reader = self._make_reader()
        try:
            reader.go_to(first, known.rows)
            while reader.offset < high and reader.take(1, self._config.patience_seconds):
                pass
            return reader.rows
        except (OutOfRangeError, KafkaException):
            return known.rows
        finally:
            reader.close()

    def _client(self) -> dict[str, str]:
        return client_settings(self._config, self._context.services_dir)

    def _make_reader(self) -> Reader:
        config = self._config
        return Reader(
            config.bootstrap_servers, self._client(), config.topic, self._base.offset,
            config.max_message_bytes,
        )  # fmt: skip

    def close(self) -> None:
        self._closed.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(self._config.patience_seconds + 5)
            self._thread = None
        with self._reading:
            self._readers.close()
        if self._topic is not None:
            self._topic.close()
            self._topic = None
        with self._lock.threads:
            if self._sender is not None:
                self._sender.close()
                self._sender = None
            self._spool.close()
            if self._marker is not None:
                self._marker.close()
                self._marker = None
            self._lock.close()

    # -- writing -------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> LogEnd:
        """See Bus. While the broker is away the entries wait in the spool, and the end that is
        returned counts them; entries of another machine's retaild may yet come between.
        """
        for entry in entries:
            check_size(entry)
        with self._lock.held():
            if self._fault is not None:
                raise self._fault
            left = entries
            if self._sender is not None and not self._spool.waiting().offset:
                now = time.time()
                left = entries[self._send([(entry, now) for entry in entries]) :]
            if left:
                self._spool.put(left)
                self._work.set()
            end, waiting = self._published(), self._spool.waiting()
        return LogEnd(end.offset + waiting.offset, end.rows + waiting.rows)

    def _send(self, entries: Sequence[tuple[Entry, float]]) -> int:
        """Send (entry, seconds since the epoch); how many were confirmed. Under the lock."""
        if not entries or self._sender is None:
            return 0
        rows, outgoing = self.end().rows, []
        for entry, at in entries:
            outgoing.append(Outgoing(entry, rows, at))
            rows += entry.rows
        sent = self._sender.send(outgoing)
        if sent.confirmed:
            self._take_confirmed(outgoing, sent)
        if sent.error:
            _log.warning("%s", BrokerAwayError(self._config.bootstrap_servers, sent.error).message)
        return len(sent.confirmed)

    def _take_confirmed(self, outgoing: Sequence[Outgoing], sent: Sent) -> None:
        end, first = self._published(), self._base.offset + sent.confirmed[0]
        if first < end.offset:
            self._fault = LostEntriesError(self._config.topic, first, end.offset)
            raise self._fault
        rows = end.rows
        if first > end.offset:  # what another machine's retaild, or a killed one, had written
            rows = self._rows_at(sent.confirmed[0], end)
        rows += sum(out.entry.rows for out in outgoing[: len(sent.confirmed)])
        self._publish(LogEnd(self._base.offset + sent.confirmed[-1] + 1, rows))

    def _publish(self, end: LogEnd) -> None:
        assert self._marker is not None
        self._marker.publish(End(end.offset, end.rows, 0, 0))

    def _published(self) -> LogEnd:
        assert self._marker is not None, "the log is not open"
        end = self._marker.read()
        if end is None or end.offset < self._base.offset:
            return self._base
        return LogEnd(end.offset, end.rows)

    # -- the spool -----------------------------------------------------------------------------

    def _keep(self) -> None:
        """Until `close`: find the broker, and send it what waits."""
        said = ""
        while not self._closed.is_set():
            try:
                if self._topic is None:
                    self._prepare()
                self._drain()
                said = ""
            except TransientError as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("%s", said)
            except RetaildError as error:
                _log.error("%s", error)
                self._fault = error
                return
            except Exception:
                # Nobody else would send what waits.
                _log.exception("sending what waits for Kafka; it goes on")
            self._work.wait(_LOOK)
            self._work.clear()

    def _drain(self) -> None:
        """Send what waits, in its order, in parts: whoever appends gets their turn between."""
        if not self._spool.waiting().offset or self._topic is None:
            return
        self._topic.bounds()  # while it does not answer, nobody should wait for the lock
        count, rows = 0, 1
        while not self._closed.is_set():
            with self._lock.held():
                sent = self._drain_some(rows)
            count += sent
            if not sent:
                break
            rows = min(rows * 4, _DRAIN_ROWS)
        if count:
            _log.info("%d entries that waited for Kafka are in the log", count)

    def _drain_some(self, rows: int) -> int:
        """Few at first: what is not confirmed in time is sent again, and may be there twice."""
        if not self._spool.waiting().offset:
            return 0
        entries = self._spool.first(rows)
        sent = self._send([(entry.entry, entry.appended_at) for entry in entries])
        if sent:
            self._spool.sent(entries[sent - 1])
        return sent

    # -- reading -------------------------------------------------------------------------------

    def end(self) -> LogEnd:
        """What the broker has confirmed; what waits in the spool is not part of the log yet."""
        published, seen = self._published(), self._seen
        offset = max(published.offset, seen.offset, self._base.offset + self._readers.seen_end())
        return LogEnd(offset, max(published.rows, seen.rows))

    def read(self, offset: int, max_rows: int = 65_536) -> list[LogEntry]:
        """See Bus. Raises BrokerAwayError if there is more than the broker hands out now."""
        if self._since is not None and offset >= self._since:
            offset = max(offset, self._base.offset)
        if offset < self._base.offset:
            raise TrimmedError(offset, self._base.offset)
        if self._fault is not None:
            raise self._fault
        there = self.end().offset > offset
        if self._topic is None:
            if there:
                raise BrokerAwayError(self._config.bootstrap_servers, "it was not found yet")
            return []
        with self._reading:
            return self._read(offset, max_rows, there)

    def _read(self, offset: int, max_rows: int, there: bool) -> list[LogEntry]:
        reader = self._readers.at(offset - self._base.offset)
        reason = "no answer in time"
        try:
            found = reader.take(max_rows, self._config.patience_seconds if there else 0.0)
        except OutOfRangeError:
            reader.offset = -1
            return self._out_of_range(offset)
        except KafkaException as error:
            reader.offset = -1
            found, reason = [], error.args[0].str()
        if found:
            last = found[-1]
            if last.offset >= self._seen.offset:
                self._seen = LogEnd(last.offset + 1, last.rows_before + last.entry.rows)
        elif there:
            reader.away = reader.away or reason
            raise BrokerAwayError(self._config.bootstrap_servers, reader.away)
        return found

    def _out_of_range(self, offset: int) -> list[LogEntry]:
        assert self._topic is not None
        low, high = (self._base.offset + bound for bound in self._topic.bounds())
        if offset < low:
            raise TrimmedError(offset, low)
        if offset > high:
            raise LostEntriesError(self._config.topic, high, offset)
        return []

    def trim(self, offset: int) -> None:
        if self._topic is None:
            raise BrokerAwayError(self._config.bootstrap_servers, "it was not found yet")
        upto = min(offset, self._published().offset) - self._base.offset
        if upto > 0:
            self._topic.cut(upto)

    # -- for backups -----------------------------------------------------------------------------

    def tail(self, carried: int, first: int, scratch: Path) -> LogTail:
        """See OnServer. Whoever appends waits while what waits for the broker is copied."""
        with self._lock.held():
            end, base = self.end(), Base.read(self._base_file)
            copy_waiting(self._spool, scratch / "waiting")
        return make_tail(self, base, end, carried, first, scratch, self._directory)

    def restored_end(self) -> LogEnd:
        return restored_end(self._directory)

    # -- for engines that read the topic themselves ----------------------------------------------

    def topic(self) -> Topic:
        """See TopicBacked. Raises BrokerAwayError while it is not known where a restored log
        begins.
        """
        if not self._settled:
            raise BrokerAwayError(self._config.bootstrap_servers, "it was not found yet")
        servers, name = self._config.bootstrap_servers, self._config.topic
        return Topic(servers, name, self._base, self._client())
