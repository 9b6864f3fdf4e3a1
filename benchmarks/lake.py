"""The lake: from a file at the door to queryable silver, beside a bare write of the same rows.

    python -m benchmarks.lake [--runs 3]

Two processes as in the daemon, the doors (tabular source, card guard, log) and the stream
processor, both started before the clock. Prints JSON: seconds and rows a second of the import (to
queryable silver; `all`: bronze and windows too), of the stream alone on a filled log, of a bare
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
import time
from collections.abc import Callable
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
from retaild_plugins.sources.tabular.plugin import retaild_sources
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BuildContext, Lake
from retaild.pipeline.batch import batch_tables
from retaild.pipeline.streams import STREAM_APP, carried_offset
from retaild.runtime.ingest_append import append_batch

TILLS = Path(__file__).parents[1] / "retaild" / "demo" / "data" / "online_retail.parquet"
ROWS, SUM = 541_909, Decimal("9747747.934")
COLUMNS = {
    "receipt_id": "InvoiceNo", "product_id": "StockCode", "description": "Description",
    "quantity": "Quantity", "unit_price": "UnitPrice", "event_time": "InvoiceDate",
    "customer_id": "CustomerID", "country": "Country",
}  # fmt: skip
LINES = {"return_receipt": "^C", "product": r"^\d{5}[A-Za-z]*$"}

_spawn = multiprocessing.get_context("spawn")


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
            "import_doors_peak_mib": max(run["doors_peak_mib"] for run in imports),
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
    _log(root).close()
    ready, go, done = _spawn.Event(), _spawn.Event(), _spawn.Event()
    answers = _spawn.Queue()
    doors = _spawn.Process(target=_doors, args=(root, ready, go, answers))
    stream = _spawn.Process(target=_stream, args=(root, done, answers))
    doors.start()
    stream.start()
    ready.wait()
    assert answers.get() == "stream ready"
    began = time.perf_counter()
    go.set()
    told = answers.get()
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
    doors.join()
    stream.join()
    right = rows == ROWS and _sum(lake) == SUM
    return {
        "seconds": seconds,
        "doors_seconds": told["seconds"],
        "all_seconds": everything,
        "doors_peak_mib": told["peak_mib"],
        "stream_peak_mib": stream_peak,
        "right": right,
    }


def _sum(lake: Lake) -> Decimal:
    total: Decimal = pc.sum(lake.dataset("silver.sale").to_table(["amount"])["amount"]).as_py()
    return total


def _log(root: Path) -> EmbeddedLog:
    log = EmbeddedLog(EmbeddedLogConfig(), root / "log")
    log.open()
    return log


def _doors(root: Path, ready: Event, go: Event, answers: Any) -> None:
    (spec,) = retaild_sources()
    config = spec.config.model_validate({"path": TILLS, "columns": COLUMNS, "lines": LINES})
    context = BuildContext("tills", root / "source", root / "lake", timezone="Europe/London")
    source, log = spec.build(config, context), _log(root)
    source.open(None)
    ready.set()
    go.wait()
    began = time.perf_counter()
    while (batch := source.poll()) is not None:
        append_batch(log, batch)
    seconds = time.perf_counter() - began
    answers.put({"offset": log.end().offset, "seconds": seconds, "peak_mib": _peak_mib()})


def _stream(root: Path, done: Event, answers: Any) -> None:
    log, stream = _log(root), _processor(root)
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
    with _spawn.Pool(1) as pool:
        return pool.apply(work, arguments)


def streamed(filled: Path, root: Path) -> dict[str, float]:
    found: dict[str, float] = in_process(_alone, filled, root)
    return found


def _alone(filled: Path, root: Path) -> dict[str, float]:
    """The log of an import once more, into another lake."""
    log, stream = _log(filled), _processor(root)
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
