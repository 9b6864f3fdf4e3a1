"""Doors alone: parse, normalise, ids and card guard of the 541,909 lines, on one core.

    python -m benchmarks.ingest_parse [--formats parquet,csv,jsonl] [--runs 3]

Each run is a process of its own, held to one core. `cpu` is what the work itself took (imports
apart), so it also tells something on a busy machine; `ratio` is a bare read of the same Parquet
file into Arrow, by the time of the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TILLS = ROOT / "retaild" / "demo" / "data" / "online_retail.parquet"
SAMPLE = ROOT / "plugins/retaild_plugins/sources/tabular/sample.toml"
ROWS = 541_909
#: Seconds on one core, and MiB.
TARGET_SECONDS, TARGET_MIB = 1.5, 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formats", default="parquet,csv,jsonl")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_read(Path(options.one))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for form in options.formats.split(","):
            path = _file(form, Path(folder))
            runs = [_run(path) for _ in range(options.runs)]
            best = min(runs, key=lambda run: run["cpu"])
            _print(form, best)
    return 0


def _print(form: str, run: dict[str, Any]) -> None:
    times = f"wall {run['wall']:.2f} s, cpu {run['cpu']:.2f} s (card guard {run['guard']:.2f})"
    speed = f"{ROWS / run['cpu']:,.0f} rows/s, peak {run['mib']:.0f} MiB"
    print(f"{form:8} {times}, {speed}, ratio to a bare read {run['bare'] / run['cpu']:.2f}")
    if form == "parquet":
        kept = run["cpu"] < TARGET_SECONDS and run["mib"] < TARGET_MIB
        print(
            f"target: under {TARGET_SECONDS} s and {TARGET_MIB} MiB: {'kept' if kept else 'MISSED'}"
        )


def _file(form: str, folder: Path) -> Path:
    if form == "parquet":
        return TILLS
    import duckdb

    path = folder / f"online_retail.{form}"
    how = "FORMAT JSON" if form == "jsonl" else "HEADER"
    duckdb.connect().execute(f"COPY (FROM '{TILLS}') TO '{path}' ({how})")
    return path


def _run(path: Path) -> dict[str, Any]:
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest_parse", "--one", str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])},
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def _read(path: Path) -> dict[str, float]:
    """One run in this process; batches are let go as the worker lets them go."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import pyarrow.parquet as pq
    from retaild_plugins.sources.tabular.config import TabularConfig
    from retaild_plugins.sources.tabular.source import TabularSource

    from retaild.api import BuildContext
    from retaild.runtime.ingest_guard import guard

    values = tomllib.loads(SAMPLE.read_text("utf-8"))["source"]["tills"]
    del values["plugin"]
    config = TabularConfig.model_validate({**values, "path": path, "settle_seconds": 0})
    source = TabularSource(config, BuildContext("tills", Path("unused"), Path("unused")))
    accepted, guarding = 0, 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    source.open(None)
    while (batch := source.poll()) is not None:
        before = time.process_time()
        accepted += guard(batch).events.num_rows
        guarding += time.process_time() - before
    source.close()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert accepted == ROWS, f"{accepted} rows accepted"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    bare = time.process_time()
    pq.read_table(TILLS, use_threads=False)
    bare = time.process_time() - bare
    return {"wall": wall, "cpu": cpu, "guard": guarding, "mib": peak, "bare": bare}


if __name__ == "__main__":
    sys.exit(main())
