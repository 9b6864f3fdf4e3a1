"""Real processes for tests of the doors: the ingest worker, and one for each source.

`python -m tests.runtime.ingest_processes source NAME CONFIG DATA` is what the daemon's fork server
does for a component; the exit code says how it ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retaild.api.errors import ConfigError, TransientError
from retaild.host.registry import PluginRegistry
from retaild.runtime import ingest, logs
from retaild.runtime.component import ComponentContext, process_name
from retaild.runtime.component.exits import EXIT_CONFIG, EXIT_FAILURE, EXIT_TEMPORARY
from retaild.runtime.context import WorkerContext, surroundings
from retaild.runtime.heartbeat import Heart
from retaild.runtime.state import State

ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)
    return found


class Process:
    """One of the two kinds; `log` holds what it printed."""

    def __init__(self, kind: str, name: str, config: Path, data: Path) -> None:
        data.mkdir(exist_ok=True)
        self.log = data / f"test-{kind}-{name}.log"
        words = [sys.executable, "-m", __name__, kind, name, str(config), str(data)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                words, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, "TZ": "UTC"}
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> tuple[int, float]:
        """Exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.terminate()
        return self.process.wait(30), time.monotonic() - began


@contextmanager
def ended(*processes: Process) -> Iterator[None]:
    try:
        yield
    finally:
        for one in processes:
            one.kill()


def main() -> int:
    kind, name, config, data = sys.argv[1:5]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings, directory = surroundings(Path(config), Path(data))
    logs.set_up("info")
    state, heart = State(directory.state_db), Heart()
    plugins = PluginRegistry.load(directory)
    label = process_name(kind, name) if kind == "source" else kind
    threading.Thread(
        target=heart.run, args=(lambda f: state.beat(label, f), threading.Event()), daemon=True
    ).start()
    try:
        if kind == "ingest":
            ingest._THREADS = False
            ingest.main(WorkerContext(label, settings, directory, plugins, state, stop, heart))
        else:
            from retaild.runtime.component.source import run

            run(
                ComponentContext(
                    label, settings, directory, plugins, state, stop, heart, kind, name
                )
            )
    except ConfigError:
        return EXIT_CONFIG
    except TransientError:
        return EXIT_TEMPORARY
    except Exception:
        logs.logging.exception("it ends")
        return EXIT_FAILURE
    return 0


if __name__ == "__main__":
    sys.exit(main())
