"""The gold tables on DuckDB and on Spark, at once, ten and a hundred times the demo's data.

    python -m benchmarks.gold_engines SOFTWARE [--sizes 1 10] [--heap-mib 2048]

SOFTWARE: where `retaildctl service install spark` put it. Every copy of the shop has customers,
products and receipts of its own, in the same year. Each engine has a process of its own; opening
(Java's start) is told apart. Prints JSON: seconds, peak memory of the process and its children, and
rows of every gold table, which must agree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks._memory import Peak
from retaild.api import BatchEngine, BuildContext, Lake
from retaild.pipeline.batch import batch_tables

_COPIED = ("event_id", "product_id", "receipt_id", "customer_id")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("software", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--heap-mib", type=int, default=2048)
    parser.add_argument("--engine", help="(one run; used by itself)")
    parser.add_argument("--lake", type=Path, help="(one run; used by itself)")
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(_built(options)))
        return
    from benchmarks.lake import imported

    with tempfile.TemporaryDirectory(prefix="retaild-gold-") as directory:
        root = Path(directory)
        imported(root / "shop")
        shop = Lake(root / "shop" / "lake").dataset("silver.sale").to_table()
        for size in options.sizes:
            lake = multiplied(shop, size, root / f"lake{size}")
            found = {name: _run(name, lake, options) for name in ("duckdb", "spark")}
            rows = [engine.pop("rows") for engine in found.values()]
            assert rows[0] == rows[1], rows
            figures = {"size": size, "lines": shop.num_rows * size, **found}
            print(json.dumps(figures, indent=1), flush=True)


def multiplied(shop: pa.Table, size: int, root: Path) -> Lake:
    """So many shops in one lake, each with ids of its own."""
    lake = Lake(root)
    for number in range(size):
        copy = shop
        for name in _COPIED:
            place = copy.schema.get_field_index(name)
            values = copy[name] if number == 0 else _marked(copy[name], number)
            copy = copy.set_column(place, copy.schema.field(name), values)
        lake.append("silver.sale", copy)
    return lake


def _marked(values: pa.ChunkedArray, number: int) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(values, f"s{number}", "-")


def _run(engine: str, lake: Lake, options: argparse.Namespace) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "benchmarks.gold_engines", str(options.software),
        "--engine", engine, "--lake", str(lake.root), "--heap-mib", str(options.heap_mib),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _built(options: argparse.Namespace) -> dict[str, Any]:
    peak = Peak()
    engine = _engine(options)
    began = time.monotonic()
    engine.open()
    opened = time.monotonic()
    results = engine.run(batch_tables())
    seconds = time.monotonic() - opened
    figures = {
        "open_seconds": round(opened - began, 2),
        "seconds": round(seconds, 2),
        "peak_mib": peak.stop(),
        "tables": {result.table: round(result.seconds, 2) for result in results},
        "rows": {result.table: result.rows for result in results},
    }
    engine.close()
    return figures


def _engine(options: argparse.Namespace) -> BatchEngine:
    state = options.lake.parent / f"{options.lake.name}-{options.engine}"
    context = BuildContext(
        "batch", state, options.lake, threads=2, software_dir=options.software.resolve()
    )
    if options.engine == "duckdb":
        from retaild_plugins.batch.duckdb.config import DuckDBConfig
        from retaild_plugins.batch.duckdb.engine import DuckDBEngine

        return DuckDBEngine(DuckDBConfig(memory_mib=options.heap_mib), context)
    from retaild_plugins.cluster.spark.batch import SparkEngine
    from retaild_plugins.cluster.spark.config import SparkConfig

    return SparkEngine(SparkConfig(heap_mib=options.heap_mib), context)


if __name__ == "__main__":
    main()
