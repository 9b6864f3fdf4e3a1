"""Appends entry after entry and says which were accepted. Arguments: root, servers, topic."""

import sys
from pathlib import Path

from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig

from retaild.api import BuildContext
from retaild.testing.bus import entry

root = Path(sys.argv[1])
config = KafkaBusConfig(bootstrap_servers=sys.argv[2], topic=sys.argv[3], patience_seconds=0.3)
context = BuildContext("bus", root / "log", root / "lake", services_dir=root / "service")
bus = KafkaBus(config, context)
bus.open()
for number in range(1_000_000):
    bus.append([entry(f"{number}")])
    print(number, flush=True)
