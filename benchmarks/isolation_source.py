"""Events a second from a file to the log: a source in a process of its own, and in-process.

    python -m benchmarks.isolation_source [--runs 5]

The same plugin (tabular), the same 541,909 till lines, the same checks, card guard and log. In its
own process the source's batches pass to the hub's, which writes them while the next one is read;
in-process one thread polls, writes, and polls again. Both are started and warm before the clock;
in turns, so that a noisy machine hits both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from benchmarks.lake import (
    ROWS,
    configure,
    hub_process,
    open_log,
    source_process,
    spawned,
)
from retaild.host.registry import PluginRegistry
from retaild.runtime.context import WorkerContext, surroundings
from retaild.runtime.ingest_append import append_batch
from retaild.runtime.ingest_hub import warm_up
from retaild.runtime.ingest_record import record
from retaild.runtime.state import State


def isolated(root: Path) -> float:
    ready, go, done = spawned.Event(), spawned.Event(), spawned.Event()
    peaks = spawned.Queue()
    return _timed(
        root, ready, go, done,
        [(hub_process, (root, done, peaks)), (source_process, (root, ready, go, done, peaks))],
    )  # fmt: skip


def in_process(root: Path) -> float:
    ready, go, done = spawned.Event(), spawned.Event(), spawned.Event()
    return _timed(root, ready, go, done, [(_one_process, (root, ready, go))])


def _timed(
    root: Path, ready: Event, go: Event, done: Event, works: list[tuple[Any, tuple[Any, ...]]]
) -> float:
    """Seconds from `go` until every row is in the log."""
    configure(root)
    log = open_log(root)
    processes = [spawned.Process(target=work, args=arguments) for work, arguments in works]
    for process in processes:
        process.start()
    ready.wait()
    time.sleep(0.5)
    began = time.perf_counter()
    go.set()
    while log.end().rows < ROWS:
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    done.set()
    for process in processes:
        process.join()
    log.close()
    return seconds


def _one_process(root: Path, ready: Event, go: Event) -> None:
    settings, data = surroundings(root / "retaild.toml", root)
    state = State(data.state_db)
    plugins = PluginRegistry.load(data)
    context = WorkerContext("source.tills", settings, data, plugins, state, threading.Event())
    source, log = context.build("source", "tills"), open_log(root)
    warm_up()
    source.open(None)
    ready.set()
    go.wait()
    while (batch := source.poll()) is not None:
        taken = append_batch(log, batch)
        record(state, [("tills", batch.position, taken)])
        source.confirmed(batch.position)
    source.close()
    log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    own, same = [], []
    with tempfile.TemporaryDirectory(prefix="retaild-source-") as folder:
        for run in range(runs):
            own.append(isolated(Path(folder) / f"own{run}"))
            same.append(in_process(Path(folder) / f"same{run}"))
    figures = {
        "rows": ROWS,
        "load_average": os.getloadavg()[0],
        "isolated_events_per_second": round(ROWS / statistics.median(own)),
        "in_process_events_per_second": round(ROWS / statistics.median(same)),
        "ratio": round(statistics.median(same) / statistics.median(own), 3),
        "isolated_seconds": [round(seconds, 3) for seconds in own],
        "in_process_seconds": [round(seconds, 3) for seconds in same],
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
