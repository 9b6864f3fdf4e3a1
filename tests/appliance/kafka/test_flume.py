"""Files -> Flume -> Kafka -> source `kafka` -> log, with real servers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.cluster.flume.config import FlumeServiceConfig
from retaild_plugins.cluster.flume.plugin import SOFTWARE, retaild_services
from retaild_plugins.cluster.kafka.source import KafkaSource
from retaild_plugins.cluster.kafka.source_config import KafkaSourceConfig

from retaild.api import BuildContext, Entry, ServiceSpec, Software, SourceBatch, TransientError
from retaild.events.codec import encode_table
from retaild.runtime.services.keeper import Keeper, ServerEndedError
from retaild.testing.bus import read_all
from retaild.testing.service import ServiceConformance, running, watch_for_ever

from .conftest import Broker

LINES = {
    "family": "sale", "columns": ["receipt", "line", "time", "sku", "pieces", "price"],
    "fields": {"event_id": "line", "receipt_id": "receipt", "event_time": "time",
               "product_id": "sku", "quantity": "pieces", "unit_price": "price"},
}  # fmt: skip


def csv_lines(name: str, first: int, count: int) -> str:
    return "".join(
        f"{name}-{n // 5},{name}-{n},2026-01-02T10:00:00Z,sku{n % 90},1,2.50\n"
        for n in range(first, first + count)
    )


@pytest.fixture
def spec(installed: Callable[[Software], Path], broker: Broker) -> ServiceSpec:
    installed(SOFTWARE)
    return retaild_services()[0]


@pytest.fixture
def config(broker: Broker, tmp_path: Path) -> FlumeServiceConfig:
    (tmp_path / "tills").mkdir()
    return FlumeServiceConfig(
        bootstrap_servers=broker.servers,
        topic=broker.new_topic(),
        follow=(rf"{tmp_path}/tills/.*\.csv",),
        folders=(tmp_path / "incoming",),
    )


@pytest.fixture
def context(broker: Broker, tmp_path: Path) -> BuildContext:
    return replace(broker.context(tmp_path / "flume"), instance="flume")


class TestFlumeService(ServiceConformance):
    def test_it_listens_on_loopback_only(
        self, spec: ServiceSpec, config: Any, context: BuildContext
    ) -> None:
        """It listens nowhere at all."""
        import psutil

        with running(spec, config, context) as keeper:
            mine = [c for c in psutil.net_connections("inet") if c.pid in keeper.pids.values()]
        assert [c for c in mine if c.status == psutil.CONN_LISTEN] == []


def test_nothing_is_lost_from_file_to_log_though_the_agent_is_killed(
    spec: ServiceSpec,
    config: FlumeServiceConfig,
    context: BuildContext,
    broker: Broker,
    tmp_path: Path,
) -> None:
    log, incoming = tmp_path / "tills/a.csv", config.folders[0]
    log.write_text(csv_lines("a", 0, 20_000))
    with running(spec, config, context) as keeper:
        move_in(incoming, "one.csv", csv_lines("b", 0, 20_000))
        time.sleep(0.7)  # in the middle of reading
        os.kill(keeper.pids["flume"], signal.SIGKILL)
    with log.open("a") as file:
        file.write(csv_lines("a", 20_000, 5_000))
    move_in(incoming, "two.csv", csv_lines("b", 20_000, 5_000))
    with closing(broker.bus(tmp_path / "log", broker.new_topic())) as bus:
        bus.open()
        with (
            running(spec, config, context),
            closing(arriving(broker, config.topic, tmp_path, bus.append)) as topic,
        ):
            topic.read_until(lambda: len(topic.ids) >= 50_000)
        ids = {
            event_id
            for found in read_all(bus)
            for event_id in decoded(found.entry)["event_id"].to_pylist()
        }
    assert ids == {f"{name}-{n}" for name in "ab" for n in range(25_000)}
    assert topic.rows >= 50_000


class Till(threading.Thread):
    """Appends to a log and moves files into a folder until it is ended."""

    def __init__(self, log: Path, folder: Path) -> None:
        super().__init__(daemon=True)
        self._log, self._folder = log, folder
        self._ended = threading.Event()
        #: Ids in the log, and in files.
        self.appended, self.moved = 0, 0

    def run(self) -> None:
        files = 0
        while not self._ended.is_set():
            with self._log.open("a") as file:
                file.write(csv_lines("a", self.appended, 200))
            self.appended += 200
            move_in(self._folder, f"{files}.csv", csv_lines("b", self.moved, 200))
            files, self.moved = files + 1, self.moved + 200
            self._ended.wait(0.1)

    def end(self) -> set[str]:
        """All ids that it has written."""
        self._ended.set()
        self.join()
        return {f"a-{n}" for n in range(self.appended)} | {f"b-{n}" for n in range(self.moved)}


def test_an_agent_that_is_killed_again_and_again_while_both_are_busy_loses_nothing(
    spec: ServiceSpec,
    config: FlumeServiceConfig,
    context: BuildContext,
    broker: Broker,
    tmp_path: Path,
) -> None:
    """Each time both had come through in part, and more was written than had been sent."""
    spec.build(config, context).open()  # makes the topic and the folder
    till = Till(tmp_path / "tills/a.csv", config.folders[0])
    till.start()
    with closing(arriving(broker, config.topic, tmp_path)) as topic:
        for _ in range(3):
            with running(spec, config, context) as keeper:
                topic.read_until(more_of_both(topic))
                os.kill(keeper.pids["flume"], signal.SIGKILL)
                with pytest.raises(ServerEndedError):
                    watch_for_ever(keeper)
            assert len(topic.ids) < till.appended + till.moved
        with running(spec, config, context):
            written = till.end()
            topic.read_until(lambda: len(topic.ids) >= len(written))
        assert topic.ids == written


def more_of_both(topic: Arriving) -> Callable[[], bool]:
    before = set(topic.ids)
    return lambda: {one[0] for one in topic.ids - before} == {"a", "b"}


def test_a_folder_that_is_not_there_is_named_and_followed_once_it_is(
    spec: ServiceSpec, context: BuildContext, broker: Broker, tmp_path: Path
) -> None:
    """It starts by itself when somebody makes the folder."""
    folder = tmp_path / "later"
    config = FlumeServiceConfig(
        bootstrap_servers=broker.servers, topic=broker.new_topic(), follow=(rf"{folder}/.*\.csv",)
    )
    service = spec.build(config, context)
    keeper, said = Keeper(service), set[str]()
    until = time.monotonic() + 90

    def make_it_when_it_is_missed() -> bool:
        try:
            service.probe()
        except TransientError as error:
            said.add(str(error))
            if "there is no such folder" in error.message:
                folder.mkdir(exist_ok=True)
        return time.monotonic() > until

    try:
        assert "bytes_to_follow" in keeper.start(make_it_when_it_is_missed)
    finally:
        keeper.stop()
    assert any(f"files in {folder}" in one for one in said)


def move_in(folder: Path, name: str, content: str) -> None:
    aside = folder.parent / name
    aside.write_text(content)
    aside.replace(folder / name)


class Arriving:
    """What came into the topic, read as the host reads it, into a log if there is one."""

    def __init__(self, source: KafkaSource, append: Callable[..., Any] | None = None) -> None:
        self._source, self._append = source, append
        #: Ids that were seen, and rows, some of which may be the same twice.
        self.ids: set[str] = set()
        self.rows = 0

    def read_until(self, enough: Callable[[], bool]) -> None:
        end = time.monotonic() + 90
        while not enough():
            assert time.monotonic() < end, f"{len(self.ids)} lines came through"
            batch = self._source.poll()
            if batch is None:
                time.sleep(0.1)
                continue
            assert batch.dead_letters == ()
            if self._append is not None:
                self._append([to_entry(batch)])
            self.ids.update(batch.events["event_id"].to_pylist())
            self.rows += batch.events.num_rows

    def close(self) -> None:
        self._source.close()


def arriving(
    broker: Broker, topic: str, tmp_path: Path, append: Callable[..., Any] | None = None
) -> Arriving:
    config = KafkaSourceConfig.model_validate(
        {"bootstrap_servers": broker.servers, "topic": topic, "lines": LINES}
    )
    source = KafkaSource(config, broker.context(tmp_path / "source"))
    # The broker answers for a new topic somewhat later; the host, too, tries again.
    until = time.monotonic() + 30
    while True:
        try:
            source.open(None)
            break
        except TransientError:
            assert time.monotonic() < until
            time.sleep(0.2)
    return Arriving(source, append)


def to_entry(batch: SourceBatch) -> Entry:
    return Entry(batch.family, "arrow", batch.events.num_rows, encode_table(batch.events))


def decoded(entry: Entry) -> Any:
    from retaild.events.codec import decode_table

    return decode_table(entry.family, entry.codec, entry.payload)
