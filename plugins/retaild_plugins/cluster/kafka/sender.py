"""Writes entries to the topic and waits until the broker has confirmed them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from retaild.api import Entry
from retaild_plugins.cluster.kafka.client import writing_client
from retaild_plugins.cluster.kafka.record import headers

#: What may lie in the client's memory; an entry has at most 16 MiB.
_QUEUE_KIB = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An entry on its way. `appended_at`: seconds since the epoch."""

    entry: Entry
    rows_before: int
    appended_at: float


@dataclass(slots=True)
class Sent:
    """`confirmed`: offsets in the topic of the first entries; `error`: why others are not there.

    Entries that were not confirmed may be in the topic all the same.
    """

    confirmed: list[int]
    error: str = ""


class Sender:
    """Not for several threads at once. A producer that failed is never used again."""

    def __init__(
        self, servers: str, client: Mapping[str, str], *,
        topic: str, compression: str, max_bytes: int, patience: float,
    ) -> None:  # fmt: skip
        self._servers = servers
        self._client = client
        self._topic = topic
        self._patience = patience
        self._settings: dict[str, Any] = {
            "compression.type": compression,
            "message.max.bytes": max_bytes,
            "batch.size": max_bytes,
            "queue.buffering.max.kbytes": _QUEUE_KIB,
            "message.timeout.ms": max(10, int(patience * 1000)),
            "request.timeout.ms": max(10, int(patience * 1000)),
            "retry.backoff.ms": 50,
        }
        self._producer: Producer | None = None
        self._refused = ""

    def send(self, entries: Sequence[Outgoing]) -> Sent:
        """Blocks until all are confirmed, the broker is known to be away, or patience ends."""
        if self._producer is None:
            self._refused = ""
            self._producer = writing_client(
                self._servers, self._client, self._settings, self._on_error
            )
        delivery = _Delivery(len(entries))
        until = time.monotonic() + self._patience
        try:
            for number, out in enumerate(entries):
                self._produce(out, delivery.told(number), until)
            while delivery.waiting and not self._given_up(until):
                self._producer.poll(max(0.001, until - time.monotonic()))
        except (BufferError, KafkaException) as error:
            delivery.error = str(error)
        sent = delivery.sent(self._refused or "no confirmation in time")
        if sent.error:
            self.close()
        return sent

    def _produce(self, out: Outgoing, told: Any, until: float) -> None:
        assert self._producer is not None
        while True:
            try:
                self._producer.produce(
                    self._topic, out.entry.payload, partition=0,
                    headers=headers(out.entry, out.rows_before),
                    timestamp=int(out.appended_at * 1000), on_delivery=told,
                )  # fmt: skip
                return
            except BufferError:
                if self._given_up(until):
                    raise
                self._producer.poll(0.01)

    def _given_up(self, until: float) -> bool:
        return bool(self._refused) or time.monotonic() > until

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._refused = error.str()

    def close(self) -> None:
        """Drop the producer; what it has not sent it will not send."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.poll(0)
            self._producer = None


class _Delivery:
    """Collects what becomes of the entries of one `send`."""

    def __init__(self, count: int) -> None:
        self._offsets: list[int | None] = [None] * count
        self.waiting = count
        self.error = ""

    def told(self, number: int) -> Any:
        def on_delivery(error: KafkaError | None, message: Any) -> None:
            self.waiting -= 1
            if error is None:
                self._offsets[number] = message.offset()
            elif not self.error:
                self.error = error.str()

        return on_delivery

    def sent(self, otherwise: str) -> Sent:
        """The confirmed ones up to the first that is not."""
        confirmed: list[int] = []
        for offset in self._offsets:
            if offset is None:
                return Sent(confirmed, self.error or otherwise)
            confirmed.append(offset)
        return Sent(confirmed)
