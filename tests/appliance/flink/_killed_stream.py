"""A stream worker to be killed: prints the id of its job, then carries the log."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from retaild_plugins.cluster.flink.config import FlinkStreamConfig
from retaild_plugins.cluster.flink.processor import FlinkProcessor
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig

from retaild.api import BuildContext

root, software, services, servers, topic, url = sys.argv[1:]


def context(instance: str, state: str) -> BuildContext:
    return BuildContext(
        instance=instance, state_dir=Path(root) / state, lake_dir=Path(root) / "lake",
        software_dir=Path(software), services_dir=Path(services) / "service",
    )  # fmt: skip


bus = KafkaBus(
    KafkaBusConfig(bootstrap_servers=servers, topic=topic, sync=False), context("bus", "log")
)
bus.open()
config = FlinkStreamConfig(url=url, checkpoint_seconds=0.2, entries=4)
stream = FlinkProcessor(config, context("stream", "stream"))
stream.open(bus)
while stream.job is None:
    stream.step()
print(stream.job, flush=True)
while True:
    if stream.step().offset == bus.end().offset:
        time.sleep(0.01)
