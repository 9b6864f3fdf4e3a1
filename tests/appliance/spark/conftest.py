"""One Spark and one Kafka for all tests of a process: Java takes seconds to start."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig, KafkaServiceConfig
from retaild_plugins.cluster.kafka.plugin import SOFTWARE as KAFKA
from retaild_plugins.cluster.kafka.plugin import retaild_services
from retaild_plugins.cluster.spark.config import SparkConfig
from retaild_plugins.cluster.spark.plugin import SOFTWARE
from retaild_plugins.cluster.spark.session import SESSIONS

from retaild.api import BuildContext
from retaild.testing.service import free_ports, running

_numbers = itertools.count()


@pytest.fixture(scope="session")
def spark_context(
    installed: Callable[..., Path], software_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BuildContext]:
    """A build context whose session stays, whoever acquires and releases it."""
    installed(SOFTWARE)
    root = tmp_path_factory.mktemp("spark")
    context = BuildContext(
        "spark", root / "state", root / "lake", threads=2, software_dir=software_dir
    )
    SESSIONS.acquire(SparkConfig(), context)
    yield context
    SESSIONS.release()


@pytest.fixture
def context_on(spark_context: BuildContext) -> Callable[[Path], BuildContext]:
    """The context for a lake of the test's own."""
    return lambda lake: replace(spark_context, lake_dir=lake, state_dir=lake.parent / "state")


@dataclass
class Broker:
    """A running Kafka; each log has a topic of its own."""

    root: Path
    port: int
    software_dir: Path

    def bus(self, state: Path, topic: str | None = None) -> KafkaBus:
        config = KafkaBusConfig(
            bootstrap_servers=f"127.0.0.1:{self.port}", topic=topic or f"log-{next(_numbers)}"
        )
        context = BuildContext(
            "bus", state, state.parent / "lake", software_dir=self.software_dir,
            services_dir=self.root / "service",
        )  # fmt: skip
        bus = KafkaBus(config, context)
        bus.open()
        return bus


@pytest.fixture(scope="session")
def broker(
    installed: Callable[..., Path], software_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    installed(KAFKA)
    root = tmp_path_factory.mktemp("broker")
    port, controller = free_ports(2)
    config = KafkaServiceConfig(port=port, controller_port=controller, heap_mib=256)
    context = BuildContext(
        "kafka", root / "service/kafka", root / "lake", software_dir=software_dir,
        services_dir=root / "service",
    )  # fmt: skip
    with running(retaild_services()[0], config, context):
        yield Broker(root, port, software_dir)


@pytest.fixture
def bus(broker: Broker, tmp_path: Path) -> Iterator[KafkaBus]:
    bus = broker.bus(tmp_path / "log")
    yield bus
    bus.close()
