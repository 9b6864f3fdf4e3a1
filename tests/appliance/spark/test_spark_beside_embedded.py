"""Spark's lake is the embedded processor's, row by row; either carries on where the other was."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.spark.config import SparkStreamConfig
from retaild_plugins.cluster.spark.stream.processor import SparkProcessor
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BuildContext, Bus, Lake, StreamProcessor
from retaild.pipeline.streams import carried_offset
from retaild.testing.stream import carry

from .conftest import Broker
from .log_of_sales import entries

ContextOn = Callable[[Path], BuildContext]
_KILLED = Path(__file__).with_name("_killed_stream.py")
#: Which engine wrote a row leaves no trace; only when the log took it is not compared.
TABLES = (
    "bronze.sale", "bronze.dead_letter", "silver.sale", "silver.dead_letter",
    "silver.sale_window_hour",
)  # fmt: skip


#: Minutes on two cores: each session starts a Java process of its own.
pytestmark = pytest.mark.slow


def contents(root: Path) -> dict[str, list[str]]:
    """Every row of every table, as text, sorted."""
    lake = Lake(root)
    return {
        name: sorted(repr(row) for row in lake.dataset(name).to_table().to_pylist())
        for name in TABLES
    }


def carried(stream: StreamProcessor, bus: Bus) -> None:
    try:
        stream.open(bus)
        carry(stream, bus)
    finally:
        stream.close()


def embedded(root: Path) -> StreamProcessor:
    context = BuildContext("stream", root.parent / f"{root.name}-state", root)
    return EmbeddedProcessor(EmbeddedStreamConfig(batch_rows=500), context)


def test_they_take_turns_on_one_lake(context_on: ContextOn, bus: KafkaBus, tmp_path: Path) -> None:
    """Turn by turn, with the tables compacted between; and the embedded one alone."""
    lake = Lake(tmp_path / "turns")
    log = list(entries(120))
    for turn in range(3):
        bus.append(log[turn * 40 : (turn + 1) * 40])
        spark = SparkProcessor(SparkStreamConfig(batch_rows=400), context_on(lake.root))
        carried(embedded(lake.root) if turn == 1 else spark, bus)
        for name in TABLES:
            lake.compact(name, 0)
    carried(embedded(tmp_path / "alone"), bus)
    assert contents(lake.root) == contents(tmp_path / "alone")


def test_a_killed_driver_loses_and_repeats_nothing(
    broker: Broker, spark_context: BuildContext, tmp_path: Path
) -> None:
    """Killed where it has just begun, in the middle, and late; then it comes to the end."""
    bus = broker.bus(tmp_path / "log", "killed")
    try:
        bus.append(list(entries(150, seed=11)))
        lake = Lake(tmp_path / "lake")
        for pause in (0.5, 3.0, 8.0):
            with _started(broker, spark_context, tmp_path) as stream:
                assert stream.stdout is not None
                assert stream.stdout.readline() == "ready\n"
                time.sleep(pause)
                stream.kill()
        with _started(broker, spark_context, tmp_path) as stream:
            until = time.monotonic() + 240
            while carried_offset(lake) < bus.end().offset:
                assert stream.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            stream.kill()
        carried(embedded(tmp_path / "alone"), bus)
        assert contents(lake.root) == contents(tmp_path / "alone")
    finally:
        bus.close()


def _started(broker: Broker, context: BuildContext, root: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable, str(_KILLED), str(root), str(context.software_dir),
        f"127.0.0.1:{broker.port}", "killed", str(broker.root / "service"),
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
