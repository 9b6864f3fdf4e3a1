"""What every source must do (retaild's own suite), and what this one does, with a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Mosquitto
from reading import RECEIPTS, ROUTE, next_batch, source, visitor
from retaild.api import Position, SourceBatch, TransientError
from retaild.testing.source import SourceConformance, SourceFactory

from retaild_mqtt.errors import BrokerRefusedError
from retaild_mqtt.source import MqttSource

BAD = [
    ("shop/north/visitors/a", b"not json"),
    ("shop/north/visitors/b", b'{"time": "never", "count": {"in": 1}}'),
    ("shop/north/visitors/c", b'{"count": {"in": 1}}'),
    ("shop/north/visitors/d", b"\xff\x00"),
]


class Patient(MqttSource):
    """The suite reads until nothing is left, and a broker takes a moment to send."""

    def poll(self) -> SourceBatch | None:
        end = time.monotonic() + 0.4
        while (batch := super().poll()) is None and time.monotonic() < end:
            time.sleep(0.005)
        return batch


class TestSource(SourceConformance):
    @pytest.fixture
    def source_factory(self, broker: Mosquitto) -> SourceFactory:
        def build() -> Patient:
            plain = source(broker.port, batch_messages=5)
            return Patient(plain._config, plain._context)

        subscribed = build()
        subscribed.open(None)
        subscribed.close()
        broker.publish(*map(visitor, range(8)), *BAD, visitor(99))
        return build

    @pytest.fixture
    def input_rows(self) -> int:
        return 13


def opened(broker: Mosquitto, position: Position | None = None, **settings: Any) -> MqttSource:
    reader = source(broker.port, **settings)
    reader.open(position)
    return reader


def values(batch: SourceBatch | None) -> list[float]:
    assert batch is not None
    found: list[float] = batch.events["value"].to_pylist()
    return found


def gather(reader: MqttSource, wanted: int, *, confirm: bool = True) -> list[float]:
    found: list[float] = []
    while len(found) < wanted:
        batch = next_batch(reader)
        assert batch is not None, f"{len(found)} of {wanted} came"
        found += values(batch)
        if confirm:
            reader.confirmed(batch.position)
    return found


def test_a_message_becomes_an_event(broker: Mosquitto) -> None:
    reader = opened(broker)
    broker.publish(visitor(3))
    batch = next_batch(reader)
    reader.close()
    assert batch is not None
    (event,) = batch.events.to_pylist()
    assert (event["source"], event["store"], event["topic"]) == ("counters", "north", "visitors")
    assert (event["subject"], event["value"]) == ("door", 3.0)
    assert event["event_time"].isoformat() == "2026-01-05T09:00:00+00:00"


def test_a_receipt_becomes_its_lines_and_equal_lines_count(broker: Mosquitto) -> None:
    reader = opened(broker)
    line = {"article": 4711, "pieces": 2, "price": 0.1}
    told = {"number": 7, "time": "2026-07-05 09:00:00", "lines": [line, line]}
    broker.publish(("till/3/receipts", json.dumps(told).encode()))
    batch = next_batch(reader)
    reader.close()
    assert batch is not None
    first, second = batch.events.to_pylist()
    assert (first["receipt_id"], first["product_id"]) == ("7", "4711")
    assert (first["unit_price"], first["quantity"]) == (Decimal("0.1000"), Decimal("2.000"))
    assert first["currency"] == "EUR"
    # Without an offset the time is on the shop's clock: Berlin in summer.
    assert first["event_time"].isoformat() == "2026-07-05T07:00:00+00:00"
    assert second["event_id"] == first["event_id"] + "-2"


def test_one_wrong_line_refuses_the_receipt_with_its_bytes(broker: Mosquitto) -> None:
    reader = opened(broker)
    good, bad = {"article": 1, "pieces": 1, "price": 1}, {"article": 2, "pieces": "x", "price": 1}
    told = {"number": 7, "time": "2026-07-05T09:00:00Z", "lines": [good, bad]}
    payload = json.dumps(told).encode()
    broker.publish(("till/3/receipts", payload))
    batch = next_batch(reader)
    reader.close()
    assert batch is not None
    assert batch.events.num_rows == 0
    (letter,) = batch.dead_letters
    assert (letter.raw, letter.target, letter.reason_key) == (payload, "sale", "mqtt.field")
    assert letter.place.startswith("till/3/receipts ")
    assert "quantity" in letter.reason


def test_what_was_refused_is_read_after_the_settings_were_mended(broker: Mosquitto) -> None:
    reader = opened(broker)
    broker.publish(
        ("shop/north/visitors/b", b'{"when": "2026-01-05T09:00:00Z", "count": {"in": 1}}')
    )
    batch = next_batch(reader)
    reader.close()
    assert batch is not None
    mended = {**ROUTE, "fields": {**ROUTE["fields"], "event_time": "when"}}  # type: ignore[dict-item]
    again = source(broker.port, routes=[mended]).parse(batch.dead_letters[0])
    assert values(again) == [1.0]


def test_what_is_not_confirmed_is_sent_again(broker: Mosquitto) -> None:
    reader = opened(broker)
    broker.publish(*map(visitor, range(3)))
    assert gather(reader, 3, confirm=False) == [0, 1, 2]
    reader.close()
    again = opened(broker)
    assert gather(again, 3) == [0, 1, 2]
    again.close()
    # The broker may see the next connection before it has read the last words of this one.
    time.sleep(0.5)
    third = opened(broker)
    assert next_batch(third, 0.5) is None
    third.close()


def test_what_was_durable_but_not_acknowledged_is_left_out(broker: Mosquitto) -> None:
    reader = opened(broker)
    broker.publish(*map(visitor, range(3)))
    found: list[float] = []
    while len(found) < 3:  # the three may come apart
        batch = next_batch(reader)
        found += values(batch)
    assert batch is not None
    reader.close()  # the host had it on disk, and the power went before `confirmed`
    broker.publish(visitor(3))
    again = opened(broker, json.loads(json.dumps(batch.position)))
    assert gather(again, 1) == [3]
    again.close()


def test_the_broker_stops_at_the_bound(broker: Mosquitto) -> None:
    reader = opened(broker, max_unconfirmed=10)
    broker.publish(*map(visitor, range(25)))
    first = next_batch(reader)
    unconfirmed = values(first)
    while (batch := next_batch(reader, 0.5)) is not None:
        first, unconfirmed = batch, unconfirmed + values(batch)
    assert unconfirmed == list(range(10))
    assert first is not None
    reader.confirmed(first.position)
    assert gather(reader, 15) == list(range(10, 25))
    reader.close()


def test_messages_wait_while_retaild_and_the_broker_are_away(broker: Mosquitto) -> None:
    opened(broker).close()
    broker.publish(*map(visitor, range(5)))
    broker.stop()
    broker.start()
    reader = opened(broker)
    assert gather(reader, 5) == [0, 1, 2, 3, 4]
    reader.close()


def test_a_broker_that_goes_is_said_so_and_nothing_is_lost(broker: Mosquitto) -> None:
    reader = opened(broker)
    broker.publish(*map(visitor, range(5)))
    assert gather(reader, 5, confirm=False) == [0, 1, 2, 3, 4]
    broker.stop()
    with pytest.raises(TransientError, match="keeps the messages"):
        next_batch(reader)
    reader.close()
    with pytest.raises(TransientError, match="cannot be used now"):
        reader.open(None)
    reader.close()
    broker.start()
    again = opened(broker)
    assert gather(again, 5) == [0, 1, 2, 3, 4]
    again.close()


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def read(path: Path) -> list[tuple[str, float]]:
    """Id and value of each event; the line that is being written is left out."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]


def kill_when(command: list[str], environment: dict[str, str], done: Callable[[], bool]) -> None:
    process = subprocess.Popen(command, env=environment)
    end = time.monotonic() + 60
    try:
        while not done():
            assert process.poll() is None, "the reader ended by itself"
            assert time.monotonic() < end, "the reader does not get on"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_reader_that_is_killed_loses_nothing(broker: Mosquitto, tmp_path: Path) -> None:
    """SIGKILL at any moment, ten times, while 5,000 messages come."""
    opened(broker, batch_messages=100).close()
    broker.publish(*map(visitor, range(5000)))
    script = Path(__file__).with_name("reading.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(broker.port), str(tmp_path)]
    events = tmp_path / "events"
    for _ in range(10):
        before = size_of(events)
        kill_when(command, environment, lambda: size_of(events) > before)  # noqa: B023
    # What was written but whose position was not comes twice: count each value once.
    kill_when(command, environment, lambda: len(set(read(events))) == 5000)
    found = read(events)
    assert {value for _, value in found} == set(map(float, range(5000)))
    assert len(set(found)) == 5000  # what came twice has its id again


def test_a_password_and_a_topic_that_are_not_allowed(tmp_path: Path, broker: Mosquitto) -> None:
    folder = tmp_path / "strict"
    folder.mkdir()
    (folder / "users").touch(mode=0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", str(folder / "users"), "retaild", "s3cret"], check=True
    )
    strict = Mosquitto(folder, f"allow_anonymous false\npassword_file {folder}/users\n")
    strict.start()
    try:
        source(strict.port, username="retaild", password="s3cret").check()
        wrong = source(strict.port, username="retaild", password="guess")
        with pytest.raises(BrokerRefusedError, match="username") as failed:
            wrong.open(None)
        assert "guess" not in str(failed.value)
        wrong.close()
        with pytest.raises(BrokerRefusedError):
            source(strict.port).check()
    finally:
        strict.stop()


def test_a_check_leaves_the_working_session_alone(broker: Mosquitto) -> None:
    reader = opened(broker)
    source(broker.port).check()
    broker.publish(visitor(1))
    assert gather(reader, 1) == [1]
    reader.close()


def test_a_topic_that_is_read_no_more_is_unsubscribed(broker: Mosquitto) -> None:
    reader = opened(broker)
    broker.publish(visitor(1))
    batch = next_batch(reader)
    assert batch is not None
    reader.confirmed(batch.position)
    reader.close()
    again = opened(broker, batch.position, routes=[RECEIPTS])
    broker.publish(visitor(2))
    assert next_batch(again, 0.5) is None
    again.close()
