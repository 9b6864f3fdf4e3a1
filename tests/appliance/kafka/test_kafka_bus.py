"""The log on a real Kafka against the conformance suite, and what only Kafka can do."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.errors import (
    AccessRefusedError,
    LostEntriesError,
    WrongTopicError,
)

from retaild.api import Entry, TransientError
from retaild.api.bus import TopicBacked, TrimmedError
from retaild.testing.bus import BusConformance, BusFactory, entry, read_all

from .conftest import Broker


class TestKafkaConforms(BusConformance):
    @pytest.fixture
    def bus_factory(self, broker: Broker, tmp_path: Path) -> BusFactory:
        topic = broker.new_topic()
        return lambda: broker.bus(tmp_path / "log", topic)


@pytest.fixture
def topic(broker: Broker) -> str:
    return broker.new_topic()


@pytest.fixture
def bus(broker: Broker, tmp_path: Path, topic: str) -> Iterator[KafkaBus]:
    with closing(broker.bus(tmp_path / "log", topic)) as bus:
        bus.open()
        yield bus


def client(bus: KafkaBus) -> dict[str, Any]:
    where = bus.topic()
    return {"bootstrap.servers": where.bootstrap_servers, **where.client}


def until(condition: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def test_engines_are_told_where_the_log_is(bus: KafkaBus, topic: str) -> None:
    assert isinstance(bus, TopicBacked)
    where = bus.topic()
    assert (where.name, where.base.offset, where.base.rows) == (topic, 0, 0)
    assert where.client["security.protocol"] == "SASL_PLAINTEXT"
    assert where.client["sasl.password"] not in repr(where)


def test_the_log_carries_on_behind_an_earlier_one(broker: Broker, tmp_path: Path) -> None:
    state = tmp_path / "log"
    state.mkdir()
    (state / "base.json").write_text(json.dumps({"offset": 500, "rows": 90_000}))
    with closing(broker.bus(state, broker.new_topic())) as bus:
        bus.open()
        assert (bus.end().offset, bus.end().rows) == (500, 90_000)
        bus.append([entry("a", rows=3), entry("b")])
        assert [(e.offset, e.rows_before) for e in bus.read(500)] == [(500, 90_000), (501, 90_003)]
        with pytest.raises(TrimmedError) as caught:
            bus.read(499)
        assert caught.value.first == 500


def test_another_topic_goes_on_where_the_one_before_ended(broker: Broker, tmp_path: Path) -> None:
    state = tmp_path / "log"
    for name, first in ((broker.new_topic(), 0), (broker.new_topic(), 2)):
        with closing(broker.bus(state, name)) as bus:
            bus.open()
            bus.append([entry("a", rows=5), entry("b", rows=5)])
            assert [e.offset for e in read_all(bus, first)] == [first, first + 1]
            assert bus.end().rows == 5 * (first + 2)


def test_a_writer_killed_before_it_marked_the_end_leaves_no_gap(
    broker: Broker, tmp_path: Path, topic: str
) -> None:
    with closing(broker.bus(tmp_path / "log", topic)) as bus:
        bus.open()
        bus.append([entry("a", rows=3)])
        mark = (tmp_path / "log" / "kafka.end").read_bytes()
        bus.append([entry("b", rows=4)])
    (tmp_path / "log" / "kafka.end").write_bytes(mark)
    with closing(broker.bus(tmp_path / "log", topic)) as bus:
        bus.open()
        assert (bus.end().offset, bus.end().rows) == (2, 7)


def test_another_machines_entries_are_seen_and_counted(
    broker: Broker, tmp_path: Path, topic: str
) -> None:
    ours, theirs = broker.bus(tmp_path / "a", topic), broker.bus(tmp_path / "b", topic)
    with closing(ours), closing(theirs):
        ours.open()
        theirs.open()
        assert theirs.read(0) == []
        ours.append([entry("a", rows=3)])
        until(lambda: theirs.end().offset == 1)
        assert [e.entry for e in theirs.read(0)] == [entry("a", rows=3)]
        assert theirs.append([entry("b", rows=2)]).rows == 5
        assert ours.append([entry("c", rows=1)]).rows == 6


def test_a_strangers_record_becomes_a_row_of_no_known_family(bus: KafkaBus, topic: str) -> None:
    bus.append([entry("a", rows=3)])
    producer = Producer(client(bus))
    producer.produce(topic, b"what is this?")
    assert producer.flush(10) == 0
    bus.append([entry("b")])
    found = read_all(bus)
    assert found[1].entry == Entry("foreign", "json", 1, b"what is this?")
    assert [e.offset for e in found] == [0, 1, 2]


def test_a_topic_of_several_partitions_is_refused(
    broker: Broker, bus: KafkaBus, tmp_path: Path
) -> None:
    name = broker.new_topic()
    admin = AdminClient(client(bus))
    (made,) = admin.create_topics([NewTopic(name, 3, 1)]).values()
    made.result(10)
    with closing(broker.bus(tmp_path / "other", name)) as other:
        until(lambda: name in admin.list_topics(timeout=5).topics)
        with pytest.raises(WrongTopicError, match="3 partitions"):
            other.open()


def test_a_topic_with_too_few_replicas_is_refused(
    broker: Broker, bus: KafkaBus, tmp_path: Path, topic: str
) -> None:
    with (
        closing(broker.bus(tmp_path / "other", topic, replicas=3)) as other,
        pytest.raises(WrongTopicError, match="1 brokers keep it, and 3 are to"),
    ):
        other.open()


def test_a_wrong_password_is_said_as_such(broker: Broker, tmp_path: Path, topic: str) -> None:
    with (
        closing(broker.bus(tmp_path / "log", topic, password="wrong")) as bus,
        pytest.raises(AccessRefusedError, match="does not let us in"),
    ):
        bus.open()


def test_a_topic_that_was_deleted_is_not_filled_anew(
    broker: Broker, tmp_path: Path, topic: str
) -> None:
    with closing(broker.bus(tmp_path / "log", topic)) as bus:
        bus.open()
        bus.append([entry("a"), entry("b")])
        admin = AdminClient(client(bus))
        (gone,) = admin.delete_topics([topic]).values()
        gone.result(10)
    with closing(broker.bus(tmp_path / "log", topic)) as bus, pytest.raises(LostEntriesError):
        bus.open()


def test_the_topic_is_made_and_kept_as_configured(
    broker: Broker, tmp_path: Path, topic: str
) -> None:
    from confluent_kafka.admin import ConfigResource, ResourceType

    for hours, expected in ((0, "-1"), (24, "86400000")):
        with closing(broker.bus(tmp_path / "log", topic, retention_hours=hours)) as bus:
            bus.open()
            admin = AdminClient(client(bus))
            (asked,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
            config = {name: one.value for name, one in asked.result(10).items()}
        assert config["retention.ms"] == expected
        assert int(config["max.message.bytes"]) > 16 * 1024 * 1024
        assert config["flush.messages"] == "1"


def test_a_bus_without_a_broker_opens_keeps_events_and_says_what_is_wrong(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        bus = broker.bus(
            tmp_path / "log", "log", bootstrap_servers="127.0.0.1:1", patience_seconds=0.5
        )
        with closing(bus):
            bus.open()
            assert "does not answer" in caplog.text
            end = bus.append([entry("a", rows=3)])
            assert (end.offset, end.rows) == (1, 3)
            assert bus.end().offset == 0
            assert bus.read(0) == []
            with pytest.raises(TransientError):
                bus.trim(1)


def test_what_a_killed_process_left_in_the_spool_is_sent_by_the_next(
    broker: Broker, tmp_path: Path, topic: str
) -> None:
    state = tmp_path / "log"
    away = broker.bus(state, topic, bootstrap_servers="127.0.0.1:1", patience_seconds=0.2)
    with closing(away):
        away.open()
        for i in range(50):
            away.append([entry(f"{i}", rows=2)])
    with closing(broker.bus(state, topic)) as bus:
        bus.open()
        bus.append([entry("later")])
        until(lambda: bus.end().offset == 51)
        expected = [entry(f"{i}", rows=2) for i in range(50)] + [entry("later")]
        assert [e.entry for e in read_all(bus)] == expected
        assert bus.end().rows == 101


def test_the_spool_has_a_bound(broker: Broker, tmp_path: Path) -> None:
    bus = broker.bus(
        tmp_path / "log", "log", bootstrap_servers="127.0.0.1:1", patience_seconds=0.2, spool_mib=32
    )
    with closing(bus):
        bus.open()
        large = Entry("sale", "json", 1, b"x" * 12_000_000)
        for _ in range(3):
            bus.append([large])
        with pytest.raises(TransientError, match="has its 32 MiB"):
            bus.append([entry("a")])
