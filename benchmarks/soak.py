"""Half an hour under steady load: does memory grow, does anything fail, how long do answers take?

500 events a second are posted (50 every 100 ms) and 50 recommendations a second asked for, both by
the clock: a late answer does not slow the next request down, and its time counts from when it was
due. At the end every accepted event must be in silver, once.

    python -m benchmarks.soak [--minutes 30] [--events-per-second 500]

`memory_by_minute_mib` is of the processes that stay (jobs come and go), and of the server: whether
it grows with the events or levels off is seen sooner with more events a second.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks._daemon import status
from benchmarks._shop import customer_ids, options, prepare, product_ids
from retaild.api.lake import Lake
from retaild.config.settings import load_settings
from retaild.runtime.priority import come_first

EVENTS_PER_SECOND, BATCH = 500, 50
REQUESTS_PER_SECOND = 50
STRANGE_SHARE = 0.01
LATE_SECONDS = 30.0
SAMPLE_SECONDS = 10.0
#: Caches fill and snapshots are taken at first: the slope is that of what comes after.
WARM_SHARE = 1 / 3
TABLE = "silver.activity"
JOB, SERVER = "retaild.runtime.job", "retaild.runtime.worker serve"


@dataclass
class Stream:
    """Requests by the clock, over one connection; `seconds` from when each was due."""

    port: int
    per_second: float
    request: Callable[[http.client.HTTPConnection], int]
    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def run(self, until: float) -> None:
        # It stands for another machine, which does not compete for these cores.
        come_first()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        due = time.monotonic()
        # A machine that cannot keep up ends it, with fewer requests, not hours later.
        while due < until and time.monotonic() < until + LATE_SECONDS:
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                self.outcomes[str(self.request(connection))] += 1
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[type(error).__name__] += 1
                connection.close()
            self.seconds.append(time.monotonic() - due)
            due += 1 / self.per_second

    def report(self, good: str) -> dict[str, Any]:
        marks = statistics.quantiles(self.seconds, n=1000)
        return {
            "requests": len(self.seconds),
            "errors": sum(n for outcome, n in self.outcomes.items() if outcome != good),
            "p50_ms": round(marks[499] * 1000, 2),
            "p99_ms": round(marks[989] * 1000, 2),
            "max_ms": round(max(self.seconds) * 1000, 1),
        }


class Load:
    """Views of the shop's products by random customers, and questions for the same customers.

    One view in a hundred is of a product that nobody knows.
    """

    def __init__(self, ids: list[str], products: list[str]) -> None:
        self._ids, self._products = ids, products
        self._chance, self._sent = random.Random(7), 0

    def post(self, connection: http.client.HTTPConnection) -> int:
        events = [self._event() for _ in range(BATCH)]
        connection.request("POST", "/api/v1/events", json.dumps({"events": events}))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def _event(self) -> dict[str, str]:
        self._sent += 1
        strange = self._chance.random() < STRANGE_SHARE
        return {
            "family": "activity", "action": "view", "customer_id": self._chance.choice(self._ids),
            "product_id": f"new-{self._sent}" if strange else self._chance.choice(self._products),
        }  # fmt: skip

    def ask(self, connection: http.client.HTTPConnection) -> int:
        customer = random.choice(self._ids)
        connection.request("GET", f"/api/v1/customers/{customer}/recommendations")
        answer = connection.getresponse()
        answer.read()
        return answer.status


def family(daemon: int) -> Iterator[tuple[str, psutil.Process]]:
    """The daemon and all below it, by name: source.tills, serve, ..."""
    parent = psutil.Process(daemon)
    for process in (parent, *parent.children(recursive=True)):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        yield " ".join(words[2:4]) or "retaild", process


def memory(daemon: int) -> dict[str, float]:
    """Proportional set size in MiB by process, and their sum."""
    sizes: Counter[str] = Counter()
    for name, process in family(daemon):
        try:
            sizes[name] += process.memory_full_info().pss / 2**20
        except psutil.Error:
            continue
    return {**sizes, "all": sum(sizes.values())}


def slope(samples: list[tuple[float, float]]) -> float:
    """Of the least-squares line, per hour."""
    warm = [s for s in samples if s[0] >= samples[-1][0] * WARM_SHARE]
    return statistics.linear_regression(*zip(*warm, strict=True)).slope * 3600


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--events-per-second", type=float, default=EVENTS_PER_SECOND)
    arguments = parser.parse_args()
    config = prepare(arguments.data, model=not arguments.no_model)
    data = config.parent / "data"
    command = [sys.executable, "-m", "retaild.daemon", "--config", str(config), "--data", str(data)]
    with (config.parent / "soak.log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(data)
        before = _rows(data)
        seconds, pace = arguments.minutes * 60, arguments.events_per_second
        streams, samples = soak(config, data, daemon.pid, seconds, pace)
        after = _drained(data, before + streams[0].outcomes["202"] * BATCH)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)
    report = {
        "minutes": arguments.minutes,
        "load_average": round(statistics.median(load for _, _, _, load in samples), 1),
        "posts": streams[0].report("202"),
        "asks": streams[1].report("200"),
        "accepted": streams[0].outcomes["202"] * BATCH,
        "in_silver": after - before,
        "restarts": samples[-1][2],
        "memory_mib": round(samples[-1][1]["all"], 1),
        "memory_slope_mib_per_hour": round(slope([(at, lasting(m)) for at, m, *_ in samples]), 2),
        "memory_by_minute_mib": [
            (round(at / 60, 1), round(lasting(m)), round(m[SERVER]))
            for at, m, *_ in samples[:: round(60 / SAMPLE_SECONDS)]
        ],
        "by_process_mib": {name: round(size, 1) for name, size in samples[-1][1].items()},
    }
    print(json.dumps(report, indent=2))


def lasting(sizes: dict[str, float]) -> float:
    """Of the processes that are no jobs: those come and go."""
    return sum(size for name, size in sizes.items() if name != "all" and JOB not in name)


def soak(
    config: Path, data: Path, daemon: int, seconds: float, pace: float
) -> tuple[list[Stream], list[tuple[float, dict[str, float], int, float]]]:
    """(streams, samples of (seconds since the start, memory, restarts, load average))."""
    port, load = load_settings(config).api.port, Load(customer_ids(data), product_ids(data))
    streams = [
        Stream(port, pace / BATCH, load.post),
        Stream(port, REQUESTS_PER_SECOND, load.ask),
    ]
    began = time.monotonic()
    threads = [threading.Thread(target=s.run, args=(began + seconds,)) for s in streams]
    for thread in threads:
        thread.start()
    samples = []
    while any(thread.is_alive() for thread in threads):
        workers = status(data).get("workers", [])
        restarts = sum(row["restarts"] or 0 for row in workers)
        samples.append((time.monotonic() - began, memory(daemon), restarts, os.getloadavg()[0]))
        if os.isatty(sys.stderr.fileno()):
            print(f"\r{samples[-1][0]:.0f} s, {samples[-1][1]['all']:.0f} MiB", end="",
                  file=sys.stderr)  # fmt: skip
        time.sleep(SAMPLE_SECONDS)
    return streams, samples


def _wait(data: Path) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        workers = status(data).get("workers", [])
        if workers and all(row["state"] == "running" for row in workers):
            return
        time.sleep(0.1)
    raise SystemExit("retaild did not start; see soak.log")


def _rows(data: Path) -> int:
    lake = Lake(data / "lake")
    return int(lake.dataset(TABLE).count_rows()) if lake.exists(TABLE) else 0


def _drained(data: Path, wanted: int) -> int:
    until = time.monotonic() + 60
    while _rows(data) < wanted and time.monotonic() < until:
        time.sleep(0.5)
    return _rows(data)


if __name__ == "__main__":
    main()
