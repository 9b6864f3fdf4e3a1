"""Import of 541,909 till lines until they can be queried in silver, beside a bare Delta write.

    python -m benchmarks.ingest [--runs 3]

A real daemon watches a folder; the clock runs from the moment the file is put there until the
silver table holds every line (polled every 20 ms). Beside it, in the same run: `write_deltalake` of
the same rows, read before, in one commit, as they stand in the file and as they stand in silver.
Peak memory is the kernel's high-water mark of each worker (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from deltalake import write_deltalake

from retaild.api.lake import Lake
from retaild.demo.shop import Shop, free_port
from retaild.demo.stages import LINES, row_count, start, till_file, wait_until
from retaild.runtime.state import State


def import_seconds(directory: Path) -> tuple[float, dict[str, int], Lake]:
    """Seconds from file to silver, and peak MiB of each worker."""
    shop = Shop(directory / "shop", free_port(0))
    shop.lay_out()
    start(shop)
    try:
        lake = Lake(shop.data.lake)
        workers = State(shop.data.state_db).workers
        wait_until(shop, "workers ran", lambda: _all_run(workers()))
        time.sleep(1.0)
        began = time.perf_counter()
        shop.put(till_file(), "tills")
        wait_until(shop, "lines", lambda: row_count(lake, "silver.sale") >= LINES, pause=0.02)
        seconds = time.perf_counter() - began
        peaks = {w["name"]: _peak_mib(w["pid"]) for w in workers()}
    finally:
        shop.stop()
    return seconds, peaks, lake


def _all_run(workers: list[dict[str, Any]]) -> bool:
    """The three workers, and a process for each source."""
    names = {worker["name"] for worker in workers}
    wanted = {"ingest", "stream", "serve", "source.tills"}
    return wanted <= names and all(worker["state"] == "running" for worker in workers)


def _peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def bare_seconds(directory: Path, name: str, table: object) -> float:
    began = time.perf_counter()
    write_deltalake(str(directory / name), table, mode="append")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    ours, raw, silver, peaks = [], [], [], {}
    for run in range(runs):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            seconds, found, lake = import_seconds(directory)
            ours.append(seconds)
            peaks = {key: max(peaks.get(key, 0), value) for key, value in found.items()}
            rows = pq.read_table(till_file())
            raw.append(bare_seconds(directory, "raw", rows))
            clean = lake.dataset("silver.sale").to_table()
            silver.append(bare_seconds(directory, "silver", clean))
        print(
            f"run {run + 1}: file to silver {ours[-1]:.2f} s; bare write of the file's rows "
            f"{raw[-1]:.2f} s, of silver's rows {silver[-1]:.2f} s; peak MiB {found}"
        )
    our, bare, bare_silver = map(statistics.median, (ours, raw, silver))
    print(f"{LINES / our:,.0f} rows/s; bare {LINES / bare:,.0f} rows/s; ratio {bare / our:.2f}")
    figures = {
        "seconds": our,
        "rows_per_second": LINES / our,
        "bare_seconds": bare,
        "bare_silver_seconds": bare_silver,
        "ratio": bare / our,
        "ratio_to_silver_rows": bare_silver / our,
        "peak_mib": peaks,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
