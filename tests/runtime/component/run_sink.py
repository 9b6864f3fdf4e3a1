"""A sink's process without the host around it: `run_sink.py CONFIG DATA INSTANCE`."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from retaild.host.registry import PluginRegistry
from retaild.runtime.component import ComponentContext
from retaild.runtime.component.alert import run
from retaild.runtime.context import surroundings
from retaild.runtime.heartbeat import Heart
from retaild.runtime.state import State


def main(config: str, root: str, instance: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings, data = surroundings(Path(config), Path(root))
    run(
        ComponentContext(
            f"alert.{instance}", settings, data, PluginRegistry.load(data), State(data.state_db),
            stop, Heart(), kind="alert", instance=instance,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
