"""A broker and a Flink session cluster for all of these tests; each has a topic and a lake."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from retaild_plugins.cluster.flink import plugin as flink
from retaild_plugins.cluster.flink.config import FlinkServiceConfig, FlinkStreamConfig
from retaild_plugins.cluster.flink.processor import FlinkProcessor
from retaild_plugins.cluster.flink.software import SOFTWARE
from retaild_plugins.cluster.kafka import plugin as kafka
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig, KafkaServiceConfig

from retaild.api import BuildContext, Bus, Software
from retaild.runtime.services.keeper import Keeper
from retaild.testing.service import free_ports, running

_numbers = itertools.count()


@dataclass
class Cluster:
    """Running servers, and the directory whose services they are."""

    root: Path
    software_dir: Path
    kafka_port: int
    flink_port: int
    keeper: Keeper
    open_buses: list[KafkaBus] = field(default_factory=list)

    def context(self, instance: str, state: Path, lake: Path | None = None) -> BuildContext:
        return BuildContext(
            instance=instance, state_dir=state, lake_dir=lake or state.parent / "lake",
            software_dir=self.software_dir, services_dir=self.root / "service",
        )  # fmt: skip

    def bus(self, state: Path, topic: str = "") -> KafkaBus:
        """An open log on a topic of its own."""
        name = topic or f"log-{next(_numbers)}"
        config = KafkaBusConfig(
            bootstrap_servers=f"127.0.0.1:{self.kafka_port}", topic=name, sync=False
        )
        bus = KafkaBus(config, self.context("bus", state))
        bus.open()
        self.open_buses.append(bus)
        return bus

    def config(self) -> FlinkStreamConfig:
        return FlinkStreamConfig(
            url=f"http://127.0.0.1:{self.flink_port}", checkpoint_seconds=0.2, entries=4
        )

    def stream(self, lake: Path, bus: Bus) -> FlinkProcessor:
        context = self.context("stream", lake.parent / "stream", lake)
        processor = FlinkProcessor(self.config(), context)
        processor.open(bus)
        return processor


@contextmanager
def watched(keeper: Keeper) -> Iterator[None]:
    """The keeper at its work: what ends is started again.

    By one thread for all tests: the system ends a server with the thread that started it.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            keeper.watch()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, software_dir: Path,
    installed: Callable[[Software], Path],
) -> Iterator[Cluster]:  # fmt: skip
    installed(kafka.SOFTWARE)
    installed(SOFTWARE)
    root = tmp_path_factory.mktemp("cluster")
    broker, controller, rest, rpc = free_ports(4)

    def context(name: str) -> BuildContext:
        return BuildContext(
            instance=name, state_dir=root / "service" / name, lake_dir=root / "lake",
            software_dir=software_dir, services_dir=root / "service",
        )  # fmt: skip

    with ExitStack() as stack:
        kafka_config = KafkaServiceConfig(port=broker, controller_port=controller, heap_mib=256)
        stack.enter_context(running(kafka.retaild_services()[0], kafka_config, context("kafka")))
        flink_config = FlinkServiceConfig(port=rest, rpc_port=rpc)
        keeper = stack.enter_context(
            running(flink.retaild_services()[0], flink_config, context("flink"))
        )
        cluster = Cluster(root, software_dir, broker, rest, keeper)
        with watched(keeper):
            yield cluster
        for bus in cluster.open_buses:
            bus.close()
