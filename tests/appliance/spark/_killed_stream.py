"""To be killed: `_killed_stream.py ROOT SOFTWARE SERVERS TOPIC SERVICES [MASTER]`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig
from retaild_plugins.cluster.spark.config import SparkStreamConfig
from retaild_plugins.cluster.spark.stream.processor import SparkProcessor

from retaild.api import BuildContext

root, software, servers, topic = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
services = Path(sys.argv[5])
config = KafkaBusConfig(bootstrap_servers=servers, topic=topic)
bus = KafkaBus(config, BuildContext("bus", root / "log", root / "lake", services_dir=services))
bus.open()
context = BuildContext("stream", root / "state", root / "lake", threads=2, software_dir=software)
master = sys.argv[6] if len(sys.argv) > 6 else "local"
own = SparkStreamConfig(master=master, batch_rows=200, heap_mib=768, executor_mib=512)
stream = SparkProcessor(own, context)
stream.open(bus)
print("ready", flush=True)
while True:
    done = stream.step().offset
    print(done, flush=True)
    if done == bus.end().offset:
        time.sleep(0.1)
