"""How long a reload takes, and the longest pause that events and requests notice.

    python benchmarks/reload.py [--rounds N]

A daemon of its own, a till that writes 20 lines ten times a second, and 50 requests a second, each
with its own connection. The pause of events is the longest time between two moments at which rows
reached the log; of requests, the longest answer.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime.control import request
from retaild.runtime.state import State

CONFIG = """
[api]
port = {port}
queue = {queue}
[lake]
interval_seconds = {interval}
[source.tills]
plugin = "tabular"
path = "tills"
pattern = "*.csv"
settle_seconds = 0
delete_finished = true
max_row_bytes = {limit}
[source.web]
plugin = "tabular"
path = "web"
"""
START = {"queue": 256, "interval": 0.5, "limit": 100_000}
#: What is changed -> which setting, and by how much each round.
CASES: dict[str, tuple[str, float]] = {
    "nothing": ("", 0),
    "one source": ("limit", 1000),
    "serve": ("queue", 1),
    "stream": ("interval", 0.01),
}
HEADER = "receipt_id,product_id,quantity,unit_price,event_time\n"


@dataclass
class Load:
    """Till and requests; `moments` are (time, rows in the log), `waits` (time, seconds)."""

    root: Path
    port: int
    state: State
    moments: list[float] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        works: list[Callable[[], None]] = [self._sell, self._look, *[self._ask] * 4]
        for work in works:
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _sell(self) -> None:
        number = 0
        while not self._stop.wait(0.1):
            rows = (f"r{number}-{i},A{i},1,2.50,2024-03-01 10:00:00\n" for i in range(20))
            beside = self.root / "tills" / f".{number}"
            beside.write_text(HEADER + "".join(rows))
            beside.rename(self.root / "tills" / f"{number:06}.csv")
            number += 1

    def _look(self) -> None:
        seen = 0
        while not self._stop.wait(0.01):
            rows = self.state.rows("SELECT accepted FROM source_stat WHERE instance = 'tills'")
            if rows and rows[0]["accepted"] != seen:
                seen = rows[0]["accepted"]
                self.moments.append(time.monotonic())

    def _ask(self) -> None:
        while not self._stop.wait(0.08):
            began = time.monotonic()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/live", timeout=30)
            except OSError:
                self.failed += 1
            self.waits.append((began, time.monotonic() - began))

    def longest(self, since: float, until: float) -> tuple[float, float]:
        """(pause of events, wait of a request) within a span, in seconds."""
        moments = [m for m in self.moments if since - 1 <= m <= until + 1]
        gaps = [b - a for a, b in itertools.pairwise(moments) if b >= since]
        return max(gaps, default=0.0), max(
            (wait for began, wait in self.waits if began + wait >= since and began <= until),
            default=0.0,
        )


def reload(data: DataDir) -> dict[str, Any]:
    number = request(data, "reload", timeout=30)["reload"]["id"]
    while True:
        found = request(data, "reload-status", timeout=30)["reload"]
        if found["id"] == number and found["state"] != "running":
            return dict(found)
        time.sleep(0.02)


def measure(root: Path, port: int, rounds: int) -> None:
    data, values = DataDir(root / "retaild-data"), dict(START)
    load = Load(root, port, State(data.state_db))
    load.start()
    time.sleep(5)
    print(f"{'changed':<12}{'reload s':>10}{'worst':>8}{'events pause s':>16}{'request s':>11}")
    for name, (setting, step) in CASES.items():
        took, pauses, waits = [], [], []
        for _ in range(rounds):
            if setting:
                values[setting] = round(values[setting] + step, 3)
            (root / "retaild.toml").write_text(CONFIG.format(port=port, **values))
            began = time.monotonic()
            found = reload(data)
            ended = time.monotonic()
            if found["state"] not in ("done", "unchanged"):
                sys.exit(f"{name}: {found['state']} {found['error']}")
            time.sleep(2)
            pause, wait = load.longest(began, ended + 1)
            took.append(ended - began)
            pauses.append(pause)
            waits.append(wait)
        print(f"{name:<12}{statistics.median(took):>10.2f}{max(took):>8.2f}"
              f"{max(pauses):>16.2f}{max(waits):>11.3f}", flush=True)  # fmt: skip
    load.stop()
    pause, wait = load.longest(load.moments[20], load.moments[40])
    print(f"without a reload: events pause {pause:.2f} s, request {wait:.3f} s; "
          f"requests {len(load.waits)}, failed {load.failed}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in ("tills", "web"):
            (root / name).mkdir()
        (root / "retaild.toml").write_text(CONFIG.format(port=port, **START))
        command = [sys.executable, "-m", "retaild.daemon", "run", "-c", str(root / "retaild.toml")]
        daemon = subprocess.Popen(command, stderr=(root / "log").open("wb"))
        try:
            _wait_until_ready(DataDir(root / "retaild-data"), daemon)
            measure(root, port, rounds)
        finally:
            daemon.terminate()
            daemon.wait(20)


def _wait_until_ready(data: DataDir, daemon: subprocess.Popen[bytes]) -> None:
    while daemon.poll() is None:
        try:
            if request(data, "status")["daemon"]["state"] == "running":
                return
        except (RetaildError, OSError):
            time.sleep(0.2)
        time.sleep(0.2)
    sys.exit("the daemon did not start")


if __name__ == "__main__":
    main()
