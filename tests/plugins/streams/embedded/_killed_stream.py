"""A stream process to be killed: `_killed_stream.py ROOT BATCH_ROWS`. Says when it is ready."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BuildContext

root, batch_rows = Path(sys.argv[1]), int(sys.argv[2])
bus = EmbeddedLog(EmbeddedLogConfig(sync=False), root / "log")
bus.open()
context = BuildContext("stream", root / "state", root / "lake")
stream = EmbeddedProcessor(EmbeddedStreamConfig(batch_rows=batch_rows), context)
stream.open(bus)
print("ready", flush=True)
while True:
    before = stream.step().offset
    if before == bus.end().offset:
        print(before, flush=True)
        time.sleep(0.005)
