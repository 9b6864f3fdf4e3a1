"""A broker for all of these tests; each has a topic of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig, KafkaServiceConfig
from retaild_plugins.cluster.kafka.plugin import SOFTWARE, retaild_services

from retaild.api import BuildContext, Software
from retaild.testing.service import free_ports, running

_numbers = itertools.count()


@dataclass
class Broker:
    """A running broker, and the directory whose service it is."""

    root: Path
    port: int
    software_dir: Path

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def context(self, state: Path) -> BuildContext:
        return BuildContext(
            instance="bus", state_dir=state, lake_dir=state.parent / "lake",
            software_dir=self.software_dir, services_dir=self.root / "service",
        )  # fmt: skip

    def new_topic(self) -> str:
        return f"log-{next(_numbers)}"

    def bus(self, state: Path, topic: str, **more: object) -> KafkaBus:
        config = KafkaBusConfig.model_validate(
            {"bootstrap_servers": self.servers, "topic": topic, "segment_mib": 1, **more}
        )
        return KafkaBus(config, self.context(state))


@pytest.fixture(scope="session")
def software(software_dir: Path, installed: Callable[[Software], Path]) -> Path:
    installed(SOFTWARE)
    return software_dir


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, software: Path) -> Iterator[Broker]:
    root = tmp_path_factory.mktemp("broker")
    port, controller = free_ports(2)
    broker = Broker(root, port, software)
    config = KafkaServiceConfig(port=port, controller_port=controller, heap_mib=256)
    context = BuildContext(
        instance="kafka", state_dir=root / "service/kafka", lake_dir=root / "lake",
        software_dir=software, services_dir=root / "service",
    )  # fmt: skip
    with running(retaild_services()[0], config, context):
        yield broker
