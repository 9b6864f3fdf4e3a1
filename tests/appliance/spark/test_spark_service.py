"""A standalone cluster as a managed service, and work on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.spark.config import SparkServiceConfig
from retaild_plugins.cluster.spark.plugin import SOFTWARE, retaild_services

from retaild.api import BuildContext, Lake, ServiceSpec
from retaild.testing.batch import MONDAY, line, write_silver
from retaild.testing.service import ServiceConformance, free_ports, running
from retaild.testing.stream import entry, sale

from .conftest import Broker
from .test_spark_als import sale_table, shop

_GOLD = Path(__file__).with_name("_gold.py")
_STREAM = Path(__file__).with_name("_killed_stream.py")
_ALS = Path(__file__).with_name("_als.py")


@pytest.fixture
def spec(installed: Callable[..., object]) -> ServiceSpec:
    installed(SOFTWARE)
    return retaild_services()[0]


@pytest.fixture
def config() -> SparkServiceConfig:
    master, worker, master_page, worker_page = free_ports(4)
    return SparkServiceConfig(
        port=master, worker_port=worker, master_page=master_page, worker_page=worker_page,
        worker_mib=1024, heap_mib=192,
    )  # fmt: skip


@pytest.fixture
def context(context_of: Callable[..., BuildContext]) -> BuildContext:
    return context_of("spark")


class TestSparkService(ServiceConformance):
    pass


@pytest.mark.slow
def test_gold_is_built_on_the_cluster(
    spec: ServiceSpec, config: SparkServiceConfig, context: BuildContext
) -> None:
    """In a process of its own: this one may have a session already, and can have but one."""
    lake = Lake(context.lake_dir)
    write_silver(lake, [line(MONDAY, "R1", "2", "1.50", customer_id="C1")])
    with running(spec, config, context) as keeper:
        master = f"spark://127.0.0.1:{config.port}"
        command = [sys.executable, str(_GOLD), str(lake.root), str(context.software_dir), master]
        subprocess.run(command, check=True, timeout=280)
        assert keeper.watch_now()["answers"] == "yes"
    (row,) = lake.dataset("gold.product_week").to_table().to_pylist()
    assert (row["product_id"], row["units"], str(row["revenue"])) == ("PEN", 2.0, "3.0000")


@pytest.mark.slow
def test_als_is_trained_on_the_cluster(
    spec: ServiceSpec, config: SparkServiceConfig, context: BuildContext
) -> None:
    """All hundred customers of the shop are in the factors, and ranked for."""
    lake = Lake(context.lake_dir)
    lake.overwrite("silver.sale", sale_table(shop()))
    with running(spec, config, context):
        master = f"spark://127.0.0.1:{config.port}"
        command = [sys.executable, str(_ALS), str(lake.root), str(context.software_dir), master]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=280)
    assert done.stdout.strip() == "100"


@pytest.mark.slow
def test_the_log_is_carried_on_the_cluster(
    spec: ServiceSpec, config: SparkServiceConfig, context: BuildContext, broker: Broker,
    bus: KafkaBus, tmp_path: Path,
) -> None:  # fmt: skip
    """Decoded and checked by the worker's Python; each line once, and in its window."""
    sent = [sale(f"e{n}", receipt_id=f"R{n}") for n in range(20)]
    bus.append([entry(*sent[:12]), entry(*sent[8:], codec="arrow"), entry(sent[0])])
    with running(spec, config, context):
        master = f"spark://127.0.0.1:{config.port}"
        words = [tmp_path, context.software_dir, f"127.0.0.1:{broker.port}", bus.topic().name]
        words += [broker.root / "service", master]
        command = [sys.executable, str(_STREAM), *map(str, words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
            assert stream.stdout is not None
            try:
                assert "3" in (line.strip() for line in stream.stdout)
            finally:
                stream.kill()
    lake = Lake(tmp_path / "lake")
    ids = lake.dataset("silver.sale").to_table(columns=["event_id"])["event_id"].to_pylist()
    assert sorted(ids) == sorted(one.event_id for one in sent)
    (window,) = lake.dataset("silver.sale_window_hour").to_table().to_pylist()
    assert (window["receipts"], window["lines"], str(window["revenue"])) == (20, 20, "20.0000")
