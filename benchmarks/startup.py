"""How fast the command line and the daemon start: `python -m benchmarks.startup`.

Prints the median wall time of `retaildctl --help` and `status` (with a daemon running), beside a
bare interpreter that imports click, and how long a killed worker is away. Limits: 0.2 s each.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._daemon import running_daemon, status

ROUNDS = 20
LIMIT = 0.2
BARE = [sys.executable, "-c", "import click"]
CTL = [sys.executable, "-m", "retaild.cli"]


def median_seconds(command: list[str], environment: dict[str, str]) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])  # the first one warms the disk cache


def worker_away_seconds(data: Path, name: str, rounds: int = 5) -> float:
    """Median time from SIGKILL of a worker to its next process."""
    times = []
    for _ in range(rounds):
        before = _pid(data, name)
        os.kill(before, signal.SIGKILL)
        began = time.perf_counter()
        while _pid(data, name) in (0, before):
            time.sleep(0.001)
        times.append(time.perf_counter() - began)
        time.sleep(11)  # a healthy run: the next pause is the first one again
    return statistics.median(times)


def _pid(data: Path, name: str) -> int:
    workers: list[dict[str, Any]] = status(data)["workers"]
    return next((row["pid"] or 0 for row in workers if row["name"] == name), 0)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with running_daemon(Path(folder)) as (config, environment):
            ready = time.perf_counter() - began
            data = config.parent / "retaild-data"
            bare = median_seconds(BARE, environment)
            helped = median_seconds([*CTL, "--help"], environment)
            told = median_seconds([*CTL, "-c", str(config), "status"], environment)
            away = worker_away_seconds(data, "ingest")
    figures = {
        "python_and_click_seconds": round(bare, 4),
        "help_seconds": round(helped, 4),
        "status_seconds": round(told, 4),
        "help_ratio_to_bare": round(helped / bare, 2),
        "status_ratio_to_bare": round(told / bare, 2),
        "daemon_ready_seconds": round(ready, 2),
        "killed_worker_back_seconds": round(away, 4),
        "limit_seconds": LIMIT,
        "ok": helped < LIMIT and told < LIMIT,
    }
    print(json.dumps(figures, indent=2))
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
