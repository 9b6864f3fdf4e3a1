"""How events are written: once although they are sent again, and to all replicas."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from retaild_plugins.cluster.kafka.client import writing_client

from retaild.testing.bus import entry

from .conftest import Broker


def batches(segment: Path) -> list[tuple[int, int]]:
    """(producer id, first sequence) of each batch in a file of Kafka's log, format 2.

    By Kafka's documentation of the record batch: its length stands at byte 8 and counts from 12 on,
    the producer's id at 43, the first record's sequence at 53. Without idempotence both are -1.
    """
    found, content, at = [], segment.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from(">i", content, at + 8)
        producer, _epoch, sequence = struct.unpack_from(">qhi", content, at + 43)
        found.append((producer, sequence))
        at += 12 + length
    return found


def test_every_batch_bears_its_producers_number_and_its_own(broker: Broker, tmp_path: Path) -> None:
    topic = broker.new_topic()
    with closing(broker.bus(tmp_path / "log", topic)) as bus:
        bus.open()
        for number in range(3):
            bus.append([entry(f"{number}")])
    (segment,) = (broker.root / f"service/kafka/data/{topic}-0").glob("*.log")
    written = batches(segment)
    (producer,) = {producer for producer, _ in written}
    assert producer >= 0
    assert [sequence for _, sequence in written] == [0, 1, 2]


def test_such_a_producer_cannot_be_satisfied_with_fewer_than_all_replicas() -> None:
    with pytest.raises(KafkaException, match="acks"):
        writing_client("127.0.0.1:1", {}, {"acks": "1"}, lambda _: None)
