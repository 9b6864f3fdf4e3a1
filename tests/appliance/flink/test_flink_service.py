"""The session cluster by the suite for services, and a TaskManager that dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from retaild_plugins.cluster.flink.config import FlinkServiceConfig
from retaild_plugins.cluster.flink.plugin import retaild_services
from retaild_plugins.cluster.flink.software import SOFTWARE

from retaild.api import BuildContext, ServiceSpec, Software
from retaild.testing.service import ServiceConformance, free_ports, running


@pytest.fixture
def spec(installed: Callable[[Software], Path]) -> ServiceSpec:
    installed(SOFTWARE)
    return retaild_services()[0]


@pytest.fixture
def config() -> FlinkServiceConfig:
    rest, rpc = free_ports(2)
    return FlinkServiceConfig(port=rest, rpc_port=rpc)


@pytest.fixture
def context(context_of: Callable[..., BuildContext]) -> BuildContext:
    return context_of("flink")


class TestFlinkService(ServiceConformance):
    pass


@pytest.mark.parametrize("victim", ["taskmanager", "jobmanager"])
def test_a_server_that_dies_is_started_again(
    spec: ServiceSpec, config: FlinkServiceConfig, context: BuildContext, victim: str
) -> None:
    with running(spec, config, context) as keeper:
        before = dict(keeper.pids)
        os.kill(before[victim], signal.SIGKILL)
        until = time.monotonic() + 120
        while keeper.pids[victim] == before[victim]:
            assert time.monotonic() < until
            keeper.watch()
            time.sleep(0.1)
        figures = keeper.watch_now()
        while figures["answers"] != "yes" or figures["slots_free"] != 1.0:
            assert time.monotonic() < until, figures
            time.sleep(0.5)
            figures = keeper.watch_now()
        others = {name for name, pid in keeper.pids.items() if before[name] != pid}
        assert others == {victim}
