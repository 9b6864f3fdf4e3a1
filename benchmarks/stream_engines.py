"""Kafka to silver by each stream processor: embedded, Spark, Flink.

    python -m benchmarks.stream_engines [--rows 1000000] [--engines embedded,spark,flink]

One broker; the log holds all rows before an engine begins, each with a lake of its own. Software is
looked for in RETAILD_SOFTWARE (default ~/.cache/retaild/software). An engine without it is said to
be left out; of one that fails the reason is told, and the others are measured all the same (exit
code 1). Each one's figures go to standard error as soon as they are there.

Prints JSON: seconds until the engine is open (Java starts, the job is handed in), from then until
the last row is in silver and until all tables are written, rows a second, peak memory (PSS) of the
engine's processes together without Kafka, and whether silver has each row once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from retaild_plugins.cluster.flink import plugin as flink
from retaild_plugins.cluster.flink.processor import FlinkProcessor
from retaild_plugins.cluster.kafka import plugin as kafka
from retaild_plugins.cluster.kafka.bus import KafkaBus
from retaild_plugins.cluster.kafka.config import KafkaBusConfig
from retaild_plugins.cluster.spark import plugin as spark
from retaild_plugins.streams.embedded import plugin as embedded

from retaild.api import BuildContext, Entry, Lake, ServiceSpec
from retaild.events import arrow_schema
from retaild.events.codec import encode_table
from retaild.pipeline.streams import STREAM_APP, carried_offset
from retaild.runtime.services.keeper import Keeper
from retaild.testing.service import free_ports, running

TOPIC = "benchmark"
ENTRY_ROWS = 8192
LIMIT_SECONDS = 900.0
#: A carrier that shall end may take so long: it stops a Java.
END_SECONDS = 60.0
POLL_SECONDS = 0.1
ENGINES = {"embedded": embedded, "spark": spark, "flink": flink}
SOFTWARE_DIR = Path(
    os.environ.get("RETAILD_SOFTWARE") or Path.home() / ".cache" / "retaild" / "software"
)
spawned = multiprocessing.get_context("spawn")


class CarrierError(Exception):
    """The process that carries the log did not do it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--engines", default=",".join(ENGINES))
    words = parser.parse_args()
    figures: dict[str, Any] = {"rows": words.rows}
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the servers print is not our answer
    with tempfile.TemporaryDirectory(prefix="retaild-engines-") as directory:
        root = Path(directory)
        broker, controller = free_ports(2)
        config = {"port": broker, "controller_port": controller, "heap_mib": 384}
        with served(kafka.retaild_services()[0], config, root):
            fill(bus_of(root, broker), words.rows)
            for engine in words.engines.split(","):
                figures[engine] = measured_or_why(engine, root, broker, words.rows)
                print(json.dumps({engine: figures[engine]}), file=sys.stderr, flush=True)
    json.dump(figures, answer, indent=2)
    answer.write("\n")
    answer.close()
    if any("failed" in own for own in figures.values() if isinstance(own, dict)):
        raise SystemExit(1)


def measured_or_why(engine: str, root: Path, broker: int, rows: int) -> dict[str, Any]:
    """The figures; else `left_out` (no software) or `failed`, with the reason."""
    if engine not in ENGINES:
        return {"left_out": f"there is no engine {engine!r}; known: {', '.join(ENGINES)}"}
    if engine != "embedded" and not (SOFTWARE_DIR / engine / "current").is_dir():
        return {"left_out": f"its software is not in {SOFTWARE_DIR}"}
    try:
        return measured(engine, root, broker, rows)
    except Exception as error:  # whatever it is, the other engines' figures are worth having
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def context_of(instance: str, root: Path, state: Path, lake: Path) -> BuildContext:
    return BuildContext(
        instance=instance, state_dir=state, lake_dir=lake, threads=2, software_dir=SOFTWARE_DIR,
        services_dir=root / "service",
    )  # fmt: skip


@contextmanager
def served(spec: ServiceSpec, config: Mapping[str, object], root: Path) -> Iterator[Keeper]:
    context = context_of(spec.name, root, root / "service" / spec.name, root / "lake")
    with running(spec, spec.config.model_validate(config), context) as keeper:
        yield keeper


def bus_of(root: Path, broker: int) -> KafkaBus:
    config = KafkaBusConfig(bootstrap_servers=f"127.0.0.1:{broker}", topic=TOPIC, sync=False)
    bus = KafkaBus(config, context_of("bus", root, root / "log", root / "lake"))
    bus.open()
    return bus


def fill(bus: KafkaBus, rows: int) -> None:
    """Sales of a hundred days, four lines a receipt, in time's order."""
    for start in range(0, rows, ENTRY_ROWS):
        table = sales(start, min(ENTRY_ROWS, rows - start), rows)
        bus.append([Entry("sale", "arrow", table.num_rows, encode_table(table))])
    bus.close()


def sales(start: int, count: int, rows: int) -> pa.Table:
    numbers = np.arange(start, start + count)
    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    step = timedelta(days=100) // timedelta(microseconds=1) // rows
    columns: dict[str, Iterable[Any]] = {
        "event_id": [f"sale-{number:012d}" for number in numbers],
        "event_time": begin + numbers * step,
        "source": ["benchmark"] * count,
        "store": ["main"] * count,
        "currency": ["GBP"] * count,
        "receipt_id": [f"R{number // 4}" for number in numbers],
        "product_id": [f"P{number % 4000}" for number in numbers],
        "line_type": ["sale"] * count,
        "quantity": (numbers % 5 + 1).astype(float),
        "unit_price": (numbers % 90 + 1).astype(float),
        "discount": np.zeros(count),
    }
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in arrow_schema("sale")
    ]
    return pa.Table.from_arrays(arrays, schema=arrow_schema("sale"))


def measured(engine: str, root: Path, broker: int, rows: int) -> dict[str, Any]:
    """A process of its own carries the log; this one watches the lake and the memory."""
    own = root / engine
    config: dict[str, object] = {}
    with ExitStack() as stack:
        pids: list[int] = []
        if engine == "flink":
            rest, rpc = free_ports(2)
            service = {"port": rest, "rpc_port": rpc}
            keeper = stack.enter_context(served(flink.retaild_services()[0], service, root))
            pids = list(keeper.pids.values())
            config["url"] = f"http://127.0.0.1:{rest}"
        ready, done = spawned.Event(), spawned.Event()
        process = spawned.Process(target=carry, args=(engine, config, own, broker, ready, done))
        began = time.perf_counter()
        process.start()
        try:
            figures = watch(own, rows, process, pids, ready, began)
        finally:
            end(process, done)
    ids = Lake(own / "lake").dataset("silver.sale").to_table(columns=["event_id"])["event_id"]
    figures["right"] = len(ids) == len(ids.unique()) == rows
    return figures


def end(process: SpawnProcess, done: Any) -> None:
    """The carrier closes its engine; one that hangs is killed, with the Java that it started."""
    done.set()
    process.join(END_SECONDS)
    if process.is_alive():
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.join()
        for child in children:
            with suppress(psutil.Error):
                child.kill()


def watch(
    own: Path, rows: int, process: SpawnProcess, servers: list[int], ready: Any, began: float
) -> dict[str, Any]:
    """Raises CarrierError when the carrier ends before, or takes more than LIMIT_SECONDS."""
    assert process.pid is not None
    pids = [process.pid, *servers]
    lake, end = Lake(own / "lake"), -(-rows // ENTRY_ROWS)
    opened = silver = 0.0
    peak = 0
    while carried_offset(lake) < end:
        now = time.perf_counter() - began
        if not process.is_alive():
            raise CarrierError(f"it ended by itself (exit code {process.exitcode})")
        if now > LIMIT_SECONDS:
            raise CarrierError(f"the log is not in the lake after {LIMIT_SECONDS:g} s")
        opened = opened or (now if ready.is_set() else 0.0)
        if not silver and (lake.committed("silver.sale", STREAM_APP) or 0) >= end:
            silver = now
        peak = max(peak, memory(pids))
        time.sleep(POLL_SECONDS)
    everything = time.perf_counter() - began
    silver = silver or everything
    return {
        "open_seconds": round(opened, 2),
        "silver_seconds": round(silver - opened, 2),
        "all_seconds": round(everything - opened, 2),
        "rows_per_second": round(rows / max(silver - opened, POLL_SECONDS)),
        "peak_mib": round(peak / 2**20),
    }


def memory(pids: list[int]) -> int:
    """Bytes of these processes and their children; what they share counts once."""
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
    return total


def carry(
    engine: str, config: dict[str, object], own: Path, broker: int, ready: Any, done: Any
) -> None:
    spec = ENGINES[engine].retaild_stream_processors()[0]
    context = context_of("stream", own.parent, own / "stream", own / "lake")
    bus = bus_of(own.parent, broker)
    stream = spec.build(spec.config.model_validate(config), context)
    stream.open(bus)
    while isinstance(stream, FlinkProcessor) and stream.job is None:
        stream.step()  # the job is on its way
    ready.set()
    while not done.is_set():
        if stream.step().offset == bus.end().offset:
            time.sleep(0.05)
    stream.close()
    bus.close()


if __name__ == "__main__":
    main()
