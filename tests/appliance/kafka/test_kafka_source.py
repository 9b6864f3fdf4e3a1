"""The source on a real Kafka: the conformance suite, positions, partitions, mapped lines."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from retaild_plugins.cluster.kafka.source import KafkaSource, TopicAwayError
from retaild_plugins.cluster.kafka.source_config import KafkaSourceConfig

from retaild.api.kafka import KafkaClientConfig, client_settings
from retaild.testing.source import (
    SourceConformance,
    SourceFactory,
    events_of,
    letters_of,
    read_all,
)

from .conftest import Broker


def sale(number: int, **more: object) -> dict[str, object]:
    return {
        "family": "sale", "event_time": f"2026-01-02T10:{number % 60:02}:00Z",
        "receipt_id": f"r{number}", "product_id": "milk", "quantity": "2", "unit_price": "1.20",
        **more,
    }  # fmt: skip


class Theirs:
    """A topic of somebody else's."""

    def __init__(self, broker: Broker, name: str, partitions: int = 1) -> None:
        own = KafkaClientConfig(bootstrap_servers=broker.servers)
        client: dict[str, Any] = {
            "bootstrap.servers": broker.servers,
            **client_settings(own, broker.root / "service"),
        }
        self.broker, self.name = broker, name
        self.admin, self._producer = AdminClient(client), Producer(client)
        (made,) = self.admin.create_topics([NewTopic(name, partitions, 1)]).values()
        made.result(10)

    def write(self, *values: object, partition: int = 0) -> None:
        for value in values:
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self._producer.produce(self.name, content, partition=partition)
        assert self._producer.flush(10) == 0

    def source(self, tmp_path: Path, **more: object) -> KafkaSource:
        config = KafkaSourceConfig.model_validate(
            {"bootstrap_servers": self.broker.servers, "topic": self.name, **more}
        )
        return KafkaSource(config, self.broker.context(tmp_path / "source"))


@pytest.fixture
def theirs(broker: Broker) -> Theirs:
    return Theirs(broker, broker.new_topic())


class TestKafkaSourceConforms(SourceConformance):
    @pytest.fixture
    def source_factory(self, theirs: Theirs, tmp_path: Path) -> SourceFactory:
        theirs.write(*[sale(n) for n in range(40)], b"what?", {"family": "sale"})
        return lambda: theirs.source(tmp_path, batch_messages=7)

    @pytest.fixture
    def input_rows(self) -> int:
        return 42


def test_messages_of_several_families_and_forms(theirs: Theirs, tmp_path: Path) -> None:
    stock = {"family": "stock", "product_id": "milk", "on_hand": "12"}
    lines = b"\n".join(json.dumps(sale(n)).encode() for n in (5, 6))
    theirs.write([sale(1), sale(1)], lines, {**stock, "event_time": "2026-01-02T09:00:00"})
    batches = read_all(theirs.source(tmp_path))
    assert {batch.family: batch.events.num_rows for batch in batches} == {"sale": 4, "stock": 1}
    ids = batches[0].events["event_id"].to_pylist()
    assert len(set(ids)) == 4
    assert letters_of(batches) == []


def test_it_goes_on_after_the_position_in_every_partition(broker: Broker, tmp_path: Path) -> None:
    theirs = Theirs(broker, broker.new_topic(), partitions=3)
    for partition in range(3):
        theirs.write(*[sale(100 * partition + n) for n in range(5)], partition=partition)
    first = read_all(theirs.source(tmp_path))
    assert events_of(first).num_rows == 15
    theirs.write(sale(900), partition=1)
    second = read_all(theirs.source(tmp_path), first[-1].position)
    assert events_of(second)["receipt_id"].to_pylist() == ["r900"]


def test_a_position_never_runs_ahead_of_a_family_that_is_not_durable(
    theirs: Theirs, tmp_path: Path
) -> None:
    theirs.write(sale(1), {"family": "stock", "product_id": "milk", "on_hand": "1"})
    first, _last = read_all(theirs.source(tmp_path))
    again = read_all(theirs.source(tmp_path), first.position)
    assert [batch.family for batch in again] == ["sale", "stock"]
    assert again[0].events.equals(first.events)


def test_lines_become_events_by_their_mapping(theirs: Theirs, tmp_path: Path) -> None:
    lines = {
        "family": "sale", "columns": ["receipt", "line", "time", "sku", "pieces", "price"],
        "delimiter": ";",
        "fields": {"event_id": "line", "receipt_id": "receipt", "event_time": "time",
                   "product_id": "sku", "quantity": "pieces", "unit_price": "price"},
        "constants": {"country": "DE"},
    }  # fmt: skip
    theirs.write(b"r1;r1-1;2026-01-02 10:00:00;milk;2;1.20", b"too;short", b"\xff\xfe")
    batches = read_all(theirs.source(tmp_path, lines=lines))
    (row,) = events_of(batches).to_pylist()
    assert (row["event_id"], row["country"], str(row["unit_price"])) == ("r1-1", "DE", "1.2000")
    assert [letter.reason_key for letter in letters_of(batches)] == [
        "kafka.columns", "kafka.text",
    ]  # fmt: skip


def test_a_topic_that_is_not_there_is_said_as_such(broker: Broker, tmp_path: Path) -> None:
    config = KafkaSourceConfig(bootstrap_servers=broker.servers, topic="nowhere")
    source = KafkaSource(config, broker.context(tmp_path))
    with closing(source), pytest.raises(TopicAwayError, match="nowhere"):
        source.open(None)
    with pytest.raises(TopicAwayError, match="nowhere"):
        source.check()
