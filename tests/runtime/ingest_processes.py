"""Real processes for tests of the doors: the ingest worker, and one for each source.

They are forked from one preloaded process, as the daemon's fork server does it: a start takes
milliseconds. The exit code says how it ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
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

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pytest", __name__, "retaild.runtime.component.source"])


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
        self._process = _FORKS.Process(target=_live, args=(kind, name, config, data, self.log))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float) -> int:
        """The exit code."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, self.log.read_text()
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def stop(self) -> tuple[int, float]:
        """Exit code, and the seconds that it took."""
        began = time.monotonic()
        self._process.terminate()
        return self.wait(30), time.monotonic() - began


@contextmanager
def ended(*processes: Process) -> Iterator[None]:
    try:
        yield
    finally:
        for one in processes:
            one.kill()


def _live(kind: str, name: str, config: Path, data: Path, log: Path) -> None:
    """The child's whole life."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ["TZ"] = "UTC"
    time.tzset()
    sys.exit(_work(kind, name, config, data))


def _work(kind: str, name: str, config: Path, data: Path) -> int:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings, directory = surroundings(config, data)
    logs.set_up("info")
    state, heart = State(directory.state_db), Heart()
    plugins = PluginRegistry.load(directory)
    label = process_name(kind, name) if kind == "source" else kind
    threading.Thread(
        target=heart.run, args=(lambda f: state.beat(label, f), threading.Event()), daemon=True
    ).start()
    try:
        if kind == "ingest":
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
