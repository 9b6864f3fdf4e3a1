"""The broker killed, away for a while, a process killed with a spool: nothing lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaServiceConfig
from retaild_plugins.cluster.kafka.service import KafkaService
from retaild_plugins.cluster.kafka.topic import TopicKeeper
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.plugin import retaild_stream_processors

from retaild.api import BuildContext, Lake, TransientError
from retaild.runtime.services.keeper import Keeper
from retaild.testing.bus import entry, read_all
from retaild.testing.service import free_ports
from retaild.testing.stream import NINE, sale
from retaild.testing.stream import entry as sales_entry

from .conftest import Broker

ROWS, BATCHES = 400, 60
#: Seconds: the doors have to do without the broker for so long.
AWAY = 20.0
_CHILD = Path(__file__).with_name("_appending.py")


class OwnBroker(Broker):
    """A broker that may be killed and started again."""

    keeper: Keeper | None = None
    controller: int = 0

    def start(self) -> None:
        config = KafkaServiceConfig(port=self.port, controller_port=self.controller, heap_mib=256)
        context = BuildContext(
            instance="kafka", state_dir=self.root / "service/kafka", lake_dir=self.root / "lake",
            software_dir=self.software_dir, services_dir=self.root / "service",
        )  # fmt: skip
        self.keeper = Keeper(KafkaService(config, context))
        self.keeper.start()

    def kill(self) -> None:
        assert self.keeper is not None
        os.kill(self.keeper.pids["kafka"], signal.SIGKILL)
        self.keeper.stop()

    def stop(self) -> None:
        assert self.keeper is not None
        self.keeper.stop()


@pytest.fixture
def own(tmp_path: Path, software: Path) -> Iterator[OwnBroker]:
    port, controller = free_ports(2)
    own = OwnBroker(tmp_path, port, software)
    own.controller = controller
    own.start()
    yield own
    own.stop()


@pytest.fixture
def bus(own: OwnBroker, tmp_path: Path) -> Iterator[KafkaBus]:
    with closing(own.bus(tmp_path / "log", "log", patience_seconds=1.5)) as bus:
        bus.open()
        yield bus


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def batches() -> list[Any]:
    made = []
    for batch in range(BATCHES):
        sales = [
            sale(f"e{batch}-{row}", NINE + timedelta(minutes=batch), receipt_id=f"R{batch}")
            for row in range(ROWS)
        ]
        made.append(sales_entry(*sales, codec="arrow"))
    return made


def test_a_broker_killed_in_the_middle_of_a_replay_costs_no_row_and_doubles_none(
    own: OwnBroker, bus: KafkaBus, tmp_path: Path
) -> None:
    (spec,) = retaild_stream_processors()
    processor = spec.build(EmbeddedStreamConfig(), own.context(tmp_path / "stream"))
    reading = own.bus(tmp_path / "log", "log", patience_seconds=1.5)
    with closing(reading), closing(processor):
        reading.open()
        processor.open(reading)
        appender = threading.Thread(target=lambda: [bus.append([one]) for one in batches()])
        appender.start()
        progress = step(processor)
        until(lambda: bus.end().offset >= BATCHES // 4)
        own.kill()
        for _ in range(5):
            step(processor)
        time.sleep(3)
        own.start()
        appender.join(120)
        assert not appender.is_alive()
        until(lambda: bus.end().rows >= ROWS * BATCHES)
        until(lambda: (p := step(processor)) is not None and p.offset >= bus.end().offset)
        progress = step(processor)
    assert progress is not None
    silver = Lake(tmp_path / "lake").table("silver.sale").to_pyarrow_table(columns=["event_id"])
    ids = silver["event_id"].to_pylist()
    assert len(ids) == len(set(ids)) == ROWS * BATCHES


def step(processor: Any) -> Any:
    """As the stream worker: what fails for now is tried again."""
    try:
        return processor.step()
    except TransientError:
        time.sleep(0.1)
        return None


def test_what_is_appended_without_the_broker_is_spooled_and_drained_in_order(
    own: OwnBroker, bus: KafkaBus
) -> None:
    written, took = [], []

    def append(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            one, began = entry(f"{len(written)}", rows=2), time.monotonic()
            bus.append([one])
            took.append(time.monotonic() - began)
            written.append(one)
            time.sleep(0.02)

    append(1.0)
    before = bus.end()
    own.kill()
    append(AWAY)
    assert bus.end().offset <= before.offset + 1
    own.start()
    append(2.0)
    until(lambda: bus.end().offset >= len(written))
    found = [e.entry for e in read_all(bus)]
    # The entry that was on its way when the broker died may be there twice; its id tells.
    assert list(dict.fromkeys(found)) == written
    assert len(found) - len(written) <= 1
    assert max(took) < 4.0
    print(
        f"{len(written)} appends, {AWAY:g} s without the broker: "
        f"p50 {sorted(took)[len(took) // 2] * 1000:.2f} ms, longest {max(took) * 1000:.0f} ms"
    )


def test_a_broker_that_freezes_while_the_topic_is_made_is_waited_for(
    own: OwnBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own.keeper is not None
    broker, make = own.keeper.pids["kafka"], TopicKeeper._create
    thaw = threading.Timer(6.0, os.kill, (broker, signal.SIGCONT))

    def freeze_first(topic: TopicKeeper) -> None:
        if thaw.ident is None:
            os.kill(broker, signal.SIGSTOP)
            thaw.start()
        make(topic)

    monkeypatch.setattr(TopicKeeper, "_create", freeze_first)
    with closing(own.bus(tmp_path / "log", "late", patience_seconds=1.5)) as bus:
        bus.open()
        bus.append([entry("a")])
        until(lambda: bus.end().offset == 1)
        assert thaw.finished.is_set()


def test_a_process_killed_with_a_spool_loses_nothing(own: OwnBroker, tmp_path: Path) -> None:
    own.kill()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    child = subprocess.Popen(
        [sys.executable, str(_CHILD), str(tmp_path), own.servers, "log"],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert child.stdout is not None
    accepted = [child.stdout.readline().strip() for _ in range(200)]
    child.send_signal(signal.SIGKILL)
    child.wait()
    accepted += [line.strip() for line in child.stdout if line.endswith("\n")]
    child.stdout.close()
    own.start()
    with closing(own.bus(tmp_path / "log", "log")) as bus:
        bus.open()
        until(lambda: bus.end().offset >= len(accepted))
        found = [e.entry for e in read_all(bus)]
    assert found[: len(accepted)] == [entry(text) for text in accepted]
    # What it had written and not yet said may be there too.
    assert len(found) <= len(accepted) + 1
