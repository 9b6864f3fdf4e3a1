"""The gold tables on DuckDB and on Spark, at once, ten and a hundred times the demo's data.

    python -m benchmarks.gold_engines SOFTWARE [--sizes 1 10 100] [--memory-mib 8192]
        [--limit-seconds 240]

SOFTWARE: where `retaildctl service install spark` put it. Every copy of the shop has customers,
products and receipts of its own, in the same year. Each engine has a process of its own and as much
memory (DuckDB's limit, Spark's heap); opening (Java's start) is told apart. Who needs longer than
the limit is ended, who runs out of memory ends by itself: either is told, and larger sizes are not
tried with it. Prints JSON, a size a time: seconds, peak memory of the process and its children, and
rows of every gold table, which must agree; at last the size from which Spark is faster, None if it
is at none.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
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
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--memory-mib", type=int, default=8192)
    parser.add_argument("--limit-seconds", type=float, default=240.0)
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
        seconds: dict[int, dict[str, float]] = {}
        running = ["duckdb", "spark"]
        for size in sorted(options.sizes):
            began = time.monotonic()
            lake = multiplied(shop, size, root / f"lake{size}")
            made = time.monotonic() - began
            found = {name: _run(name, lake, options) for name in running}
            shutil.rmtree(lake.root)
            running = [name for name in running if "failed" not in found[name]]
            rows = [found[name].pop("rows") for name in running]
            assert rows[1:] == rows[:-1], rows
            seconds[size] = {name: found[name]["seconds"] for name in running}
            figures = {"size": size, "lines": shop.num_rows * size, "made_seconds": round(made, 1)}
            print(json.dumps({**figures, **found}, indent=1), flush=True)
        print(json.dumps({"spark_faster_from": crossing(seconds)}))


def crossing(seconds: dict[int, dict[str, float]]) -> float | None:
    """The size at which both take as long, between two that were measured (straight in logarithms).

    A size that only Spark came through with counts as one where it is faster.
    """
    before: tuple[int, float] | None = None
    for size, took in sorted(seconds.items()):
        if "spark" not in took:
            return None
        if "duckdb" not in took:
            return float(size)
        ratio = math.log(took["spark"] / took["duckdb"])
        if ratio <= 0:
            if before is None:
                return float(size)
            share = before[1] / (before[1] - ratio)
            return round(float(before[0] * (size / before[0]) ** share), 1)
        before = size, ratio
    return None


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
        "--engine", engine, "--lake", str(lake.root), "--memory-mib", str(options.memory_mib),
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as said:
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=said, text=True,
                timeout=options.limit_seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {options.limit_seconds:g} s"}
        if done.returncode:
            said.seek(0)
            last = [line.strip() for line in said if "Error" in line or "Exception" in line]
            return {"failed": (last or [f"code {done.returncode}"])[-1][:300]}
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

        return DuckDBEngine(DuckDBConfig(memory_mib=options.memory_mib), context)
    from retaild_plugins.cluster.spark.batch import SparkEngine
    from retaild_plugins.cluster.spark.config import SparkConfig

    return SparkEngine(SparkConfig(heap_mib=options.memory_mib), context)


if __name__ == "__main__":
    main()
