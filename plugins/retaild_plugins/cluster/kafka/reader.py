"""Reads the topic on from some place, ahead of being asked, so that a poll costs microseconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from retaild.api import LogEntry
from retaild_plugins.cluster.kafka.client import reading_client
from retaild_plugins.cluster.kafka.record import log_entry

#: Bytes asked of the broker at a time (an entry that is larger comes whole), and read ahead.
_FETCH_BYTES = 2 * 1024 * 1024
_AHEAD_KIB = 8 * 1024
#: A place that is left while the broker waits for news is left after so long.
_WAIT_MS = 100
_AT_ONCE = 64
#: Readers of one bus: one follows the end, one reads elsewhere.
_READERS = 2


class OutOfRangeError(Exception):
    """The topic has no such offset."""


class Reader:
    """At one place of the topic."""

    def __init__(
        self, servers: str, client: Mapping[str, str], topic: str, base: int, max_bytes: int
    ) -> None:
        self._topic, self._base = topic, base
        self._waiting: deque[LogEntry] = deque()
        self._fetched_rows = 0
        #: Next in the topic, and rows of the log before it as far as they are known.
        self.offset, self.rows = -1, 0
        self.away = ""
        more: dict[str, Any] = {
            "fetch.min.bytes": 1,
            "fetch.wait.max.ms": _WAIT_MS,
            "fetch.max.bytes": max_bytes,
            "max.partition.fetch.bytes": _FETCH_BYTES,
            "receive.message.max.bytes": 2 * max_bytes + 1024 * 1024,
            "message.max.bytes": max_bytes,
            "queued.max.messages.kbytes": _AHEAD_KIB,
            "fetch.queue.backoff.ms": 2,
            "fetch.error.backoff.ms": 20,
            "check.crcs": True,
        }
        self._consumer: Consumer = reading_client(servers, client, more, self._on_error)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION):
            self.away = error.str()

    def go_to(self, offset: int, rows: int = 0) -> None:
        """`rows` of the log are known to lie before `offset`, the topic's."""
        self._waiting.clear()
        self._fetched_rows = self.rows = rows
        self.offset = offset
        self._consumer.assign([TopicPartition(self._topic, 0, offset)])

    def take(self, max_rows: int, seconds: float) -> list[LogEntry]:
        """What is there, up to enough rows; for the first entry it waits so long.

        Not once it is `away`: who polls is held up a single time. Raises OutOfRangeError;
        KafkaException for what else the broker says.
        """
        found: list[LogEntry] = []
        rows, until = 0, time.monotonic() + (0.0 if self.away else seconds)
        while rows < max_rows:
            if not self._waiting:
                self._fetch(0.0 if found else until - time.monotonic())
            if not self._waiting:
                break
            entry = self._waiting.popleft()
            found.append(entry)
            rows += entry.entry.rows
            self.offset += 1
            self.rows = entry.rows_before + entry.entry.rows
        return found

    def _fetch(self, seconds: float) -> None:
        message = None
        while message is None:
            # In short steps: an error that the client tells of ends the wait.
            message = self._consumer.poll(max(0.0, min(seconds, 0.05)))
            seconds -= 0.05
            if message is None and (seconds <= 0 or self.away):
                return
        for one in [message, *self._consumer.consume(_AT_ONCE, 0)]:
            self._take_in(one)

    def _take_in(self, message: Any) -> None:
        error = message.error()
        if error is not None:
            if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise OutOfRangeError
            if error.retriable() or error.code() == KafkaError._ALL_BROKERS_DOWN:
                self.away = error.str()
                return
            raise KafkaException(error)
        self.away = ""
        entry = log_entry(message, self._base, self._fetched_rows)
        self._fetched_rows = entry.rows_before + entry.entry.rows
        self._waiting.append(entry)

    def seen_end(self) -> int:
        """The end of the topic as the last answer told it; -1: none yet. Does not ask."""
        known = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), cached=True)
        return max(-1, int(known[1])) if known else -1

    def close(self) -> None:
        self._consumer.close()


class Readers:
    """The readers of one bus, each at its own place."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._readers: list[Reader] = []

    def at(self, offset: int) -> Reader:
        """The reader that is at this offset of the topic, or that was longest unused."""
        reader = next((r for r in self._readers if r.offset == offset), None)
        if reader is None:
            if len(self._readers) < _READERS:
                reader = self._make()
                self._readers.append(reader)
            else:
                reader = self._readers[0]
            reader.go_to(offset)
        self._readers.remove(reader)
        self._readers.append(reader)
        return reader

    def seen_end(self) -> int:
        return max((reader.seen_end() for reader in self._readers), default=-1)

    def close(self) -> None:
        while self._readers:
            self._readers.pop().close()
