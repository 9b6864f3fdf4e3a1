"""The broker as a managed service."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from retaild_plugins.cluster.kafka.config import KafkaServiceConfig
from retaild_plugins.cluster.kafka.plugin import retaild_services

from retaild.api import BuildContext, ServiceSpec
from retaild.testing.bus import entry, read_all
from retaild.testing.service import ServiceConformance, free_ports, running

from .conftest import Broker


@pytest.fixture
def spec(software: Path) -> ServiceSpec:
    return retaild_services()[0]


@pytest.fixture
def config() -> KafkaServiceConfig:
    port, controller = free_ports(2)
    return KafkaServiceConfig(port=port, controller_port=controller, heap_mib=256)


@pytest.fixture
def context(context_of: Callable[..., BuildContext]) -> BuildContext:
    return context_of("kafka")


class TestKafkaService(ServiceConformance):
    pass


def test_what_was_confirmed_survives_a_kill(
    spec: ServiceSpec, config: KafkaServiceConfig, context: BuildContext, tmp_path: Path
) -> None:
    broker = Broker(tmp_path, config.port, context.software_dir)
    with running(spec, config, context) as keeper:
        bus = broker.bus(tmp_path / "log", "log")
        bus.open()
        for number in range(20):
            bus.append([entry(str(number), rows=3)])
        bus.close()
        os.kill(keeper.pids["kafka"], signal.SIGKILL)
        time.sleep(0.5)
    with running(spec, config, context) as keeper:
        bus = broker.bus(tmp_path / "log", "log")
        bus.open()
        assert [e.entry for e in read_all(bus)] == [entry(str(n), rows=3) for n in range(20)]
        figures = keeper.watch_now()
        assert (figures["topics"], figures["records_log"]) == (1.0, 20.0)
        bus.close()
