"""The lake: from a file at the door to queryable silver, beside a bare write of the same rows.

    python -m benchmarks.lake [--runs 3]

Three processes as in the daemon, the source (tabular), the hub (checks, card guard, log) and the
stream processor, all started before the clock. Prints JSON: seconds and rows a second of the import
(to queryable silver; `all`: bronze and windows too), of the stream alone on a filled log, of a bare
`write_deltalake` of silver's rows, their ratios, peak memory, seconds of each gold table, and
whether the sums are right.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from deltalake import write_deltalake
from retaild_plugins.batch.duckdb.config import DuckDBConfig
from retaild_plugins.batch.duckdb.engine import DuckDBEngine
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BuildContext, Lake
from retaild.host.registry import PluginRegistry
from retaild.pipeline.batch import batch_tables
from retaild.pipeline.streams import STREAM_APP, carried_offset
from retaild.runtime.component import ComponentContext
from retaild.runtime.component.source import run
from retaild.runtime.context import WorkerContext, surroundings
from retaild.runtime.ingest_hub import Hub
from retaild.runtime.state import State

TILLS = Path(__file__).parents[1] / "retaild" / "demo" / "data" / "online_retail.parquet"
ROWS, SUM = 541_909, Decimal("9747747.934")
COLUMNS = {
    "receipt_id": "InvoiceNo", "product_id": "StockCode", "description": "Description",
    "quantity": "Quantity", "unit_price": "UnitPrice", "event_time": "InvoiceDate",
    "customer_id": "CustomerID", "country": "Country",
}  # fmt: skip
LINES = {"return_receipt": "^C", "product": r"^\d{5}[A-Za-z]*$"}

spawned = multiprocessing.get_context("spawn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="retaild-lake-") as directory:
        root = Path(directory)
        imports = [imported(root / f"import{n}") for n in range(runs)]
        alone = [streamed(root / "import0", root / f"alone{n}") for n in range(runs)]
        bare = [
            in_process(_bare, root / "import0" / "lake", root / f"bare{n}") for n in range(runs)
        ]
        figures = {
            "rows": ROWS,
            **_rates("import", [run["seconds"] for run in imports]),
            **_rates("stream", [run["seconds"] for run in alone]),
            **_rates("bare", [run["seconds"] for run in bare]),
            "import_doors_seconds": statistics.median(run["doors_seconds"] for run in imports),
            "import_all_seconds": statistics.median(run["all_seconds"] for run in imports),
            "import_source_peak_mib": max(run["source_peak_mib"] for run in imports),
            "import_hub_peak_mib": max(run["hub_peak_mib"] for run in imports),
            "import_stream_peak_mib": max(run["stream_peak_mib"] for run in imports),
            "sums_are_right": all(run["right"] for run in imports),
            "gold": in_process(_gold, root / "import0" / "lake", root / "gold"),
        }
        figures["import_ratio"] = figures["bare_seconds"] / figures["import_seconds"]
        figures["stream_ratio"] = figures["bare_seconds"] / figures["stream_seconds"]
        json.dump(_rounded(figures), sys.stdout, indent=2)
        print()


def _rates(name: str, seconds: list[float]) -> dict[str, float]:
    middle = statistics.median(seconds)
    return {f"{name}_seconds": middle, f"{name}_rows_per_second": ROWS / middle}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 3) if isinstance(value, float) else value


# -- the import ----------------------------------------------------------------------------------


def imported(root: Path) -> dict[str, Any]:
    """Doors and stream side by side: seconds until all of silver is there."""
    configure(root)
    log = open_log(root)
    ready, go, done = spawned.Event(), spawned.Event(), spawned.Event()
    answers, peaks = spawned.Queue(), spawned.Queue()
    processes = [
        spawned.Process(target=hub_process, args=(root, done, peaks)),
        spawned.Process(target=source_process, args=(root, ready, go, done, peaks)),
        spawned.Process(target=_stream, args=(root, done, answers)),
    ]
    for process in processes:
        process.start()
    ready.wait()
    assert answers.get() == "stream ready"
    began = time.perf_counter()
    go.set()
    while log.end().rows < ROWS:
        time.sleep(0.01)
    told = {"offset": log.end().offset, "seconds": time.perf_counter() - began}
    lake = Lake(root / "lake")
    while (lake.committed("silver.sale", STREAM_APP) or 0) < told["offset"]:
        time.sleep(0.02)
    rows = lake.dataset("silver.sale").count_rows()
    seconds = time.perf_counter() - began
    while carried_offset(lake) < told["offset"]:
        time.sleep(0.02)
    everything = time.perf_counter() - began
    done.set()
    stream_peak = answers.get()
    doors = dict(peaks.get() for _ in range(2))
    for process in processes:
        process.join()
    log.close()
    right = rows == ROWS and _sum(lake) == SUM
    return {
        "seconds": seconds,
        "doors_seconds": told["seconds"],
        "all_seconds": everything,
        "source_peak_mib": doors["source"],
        "hub_peak_mib": doors["hub"],
        "stream_peak_mib": stream_peak,
        "right": right,
    }


def _sum(lake: Lake) -> Decimal:
    total: Decimal = pc.sum(lake.dataset("silver.sale").to_table(["amount"])["amount"]).as_py()
    return total


def open_log(root: Path) -> EmbeddedLog:
    log = EmbeddedLog(EmbeddedLogConfig(), root / "log")
    log.open()
    return log


def configure(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "retaild.toml").write_text(
        f"""
[retaild]
timezone = "Europe/London"
[source.tills]
plugin = "tabular"
path = "{TILLS}"
columns = {{ {", ".join(f'{name} = "{column}"' for name, column in COLUMNS.items())} }}
lines = {{ {", ".join(f"{name} = '{pattern}'" for name, pattern in LINES.items())} }}
"""
    )


def _until(done: Event) -> threading.Event:
    """What a signal is for a worker."""
    stop = threading.Event()

    def wait() -> None:
        done.wait()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    return stop


def hub_process(root: Path, done: Event, peaks: Any) -> None:
    settings, data = surroundings(root / "retaild.toml", root)
    state, plugins = State(data.state_db), PluginRegistry.load(data)
    log = open_log(root)
    Hub(WorkerContext("ingest", settings, data, plugins, state, _until(done)), log).run()
    log.close()
    peaks.put(("hub", _peak_mib()))


def source_process(root: Path, ready: Event, go: Event, done: Event, peaks: Any) -> None:
    settings, data = surroundings(root / "retaild.toml", root)
    plugins = PluginRegistry.load(data)
    spec = plugins.spec("source", "tabular")

    def build(config: Any, context: BuildContext) -> Any:
        source = spec.build(config, context)
        poll = source.poll

        def gated() -> Any:
            ready.set()
            go.wait()
            return poll()

        source.poll = gated
        return source

    plugins._built["source", "tabular"] = replace(spec, build=build)
    state = State(data.state_db)
    run(
        ComponentContext(
            "source.tills", settings, data, plugins, state, _until(done),
            kind="source", instance="tills",
        )
    )  # fmt: skip
    peaks.put(("source", _peak_mib()))


def _stream(root: Path, done: Event, answers: Any) -> None:
    log, stream = open_log(root), _processor(root)
    stream.open(log)
    answers.put("stream ready")
    while not done.is_set():
        before = stream.step().offset
        if before == log.end().offset:
            time.sleep(0.01)
    stream.close()
    answers.put(_peak_mib())


def _processor(root: Path) -> EmbeddedProcessor:
    context = BuildContext("stream", root / "stream", root / "lake")
    return EmbeddedProcessor(EmbeddedStreamConfig(), context)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- its parts, each in a process of its own -------------------------------------------------------


def in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    with spawned.Pool(1) as pool:
        return pool.apply(work, arguments)


def streamed(filled: Path, root: Path) -> dict[str, float]:
    found: dict[str, float] = in_process(_alone, filled, root)
    return found


def _alone(filled: Path, root: Path) -> dict[str, float]:
    """The log of an import once more, into another lake."""
    log, stream = open_log(filled), _processor(root)
    stream.open(log)
    began = time.perf_counter()
    while stream.step().offset < log.end().offset:
        pass
    seconds = time.perf_counter() - began
    stream.close()
    return {"seconds": seconds}


def _bare(lake: Path, target: Path) -> dict[str, float]:
    rows = Lake(lake).dataset("silver.sale").to_table().combine_chunks()
    began = time.perf_counter()
    write_deltalake(str(target), rows)
    return {"seconds": time.perf_counter() - began}


def _gold(lake: Path, state: Path) -> dict[str, float]:
    engine = DuckDBEngine(DuckDBConfig(), BuildContext("batch", state, lake, threads=2))
    began = time.perf_counter()
    engine.open()
    results = engine.run(batch_tables())
    seconds = time.perf_counter() - began
    engine.close()
    figures = {result.table: result.seconds for result in results}
    return {**figures, "total_seconds": seconds, "peak_mib": _peak_mib()}


if __name__ == "__main__":
    main()
