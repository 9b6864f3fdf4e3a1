"""What a runaway plugin does to answers: p50 and p99 of recommendations beside it, and without it.

    python -m benchmarks.neighbour [--seconds 20] [--rounds 3]

A real daemon with a year of a shop and a stranger's source (the tests' misbehaving plugin) in three
forms: one whose four processes burn the processor, one that leaks up to its memory limit again and
again, one that sends events as fast as they are taken. 100 requests a second by the clock over one
connection; an answer's time counts from when it was due. In turns: quiet, then each of them, so
that a noisy machine hits all. Medians over the rounds, in milliseconds; `ratio` is to the quiet
p99 (bound: 1.2).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._daemon import running_daemon
from benchmarks._shop import customer_ids, options, prepare, product_ids
from benchmarks.soak import Load, Stream
from retaild.config.paths import DataDir
from retaild.config.settings import load_settings
from retaild.runtime.control import request
from tests.runtime.isolation.wild_house import installed

PER_SECOND = 100
RUNAWAYS = ("burns", "leaks", "floods_its_queue")
#: It need not end: a person ends it, after the measurement.
INSTANCE = """
[source.{how}]
plugin = "wild"
folder = "."
how = "{how}"
[source.{how}.limits]
failures = 1000
hung_seconds = 3600
memory_mib = 256
"""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    prepared = prepare(arguments.data, model=not arguments.no_model)
    shop = prepared.parent / "data"
    asking = Load(customer_ids(shop), product_ids(shop))
    extra = "".join(INSTANCE.format(how=how) for how in RUNAWAYS)
    with tempfile.TemporaryDirectory(prefix="retaild-neighbour-") as name:
        folder = Path(name)
        # A daemon that was killed there leaves its sockets, which cannot be copied.
        without = shutil.ignore_patterns("*.sock")
        shutil.copytree(prepared.parent / "data", folder / "retaild-data", ignore=without)
        for how in RUNAWAYS:
            (folder / f"{how}.go").touch()
        site = os.pathsep.join(map(str, installed(folder)))
        with running_daemon(folder, extra, site) as (config, _):
            data = DataDir(folder / "retaild-data")
            for how in RUNAWAYS:
                _standing(data, "quarantine", how)
            port = load_settings(config).api.port
            print(json.dumps(compared(data, port, asking, arguments), indent=2))


def compared(data: DataDir, port: int, load: Load, arguments: Any) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("quiet", *RUNAWAYS)}
    _answers(port, load, 10)  # everyone is ranked, the connection is warm
    loads = []
    for number in range(arguments.rounds):
        loads.append(os.getloadavg()[0])
        for name in found:
            if name != "quiet":
                _standing(data, "resume", name)
                time.sleep(1)
            found[name].append(_answers(port, load, arguments.seconds))
            if name != "quiet":
                _standing(data, "quarantine", name)
                time.sleep(4)  # what it left to do is done
            print(f"round {number + 1}: {name} {found[name][-1]}", file=sys.stderr)
    figures = {name: _medians(rows) for name, rows in found.items()}
    quiet = figures["quiet"]["p99_ms"]
    return {
        "load_average": loads,
        **{name: {**row, "ratio": round(row["p99_ms"] / quiet, 2)}
           for name, row in figures.items()},
    }  # fmt: skip


def _answers(port: int, load: Load, seconds: float) -> dict[str, Any]:
    stream = Stream(port, PER_SECOND, load.ask)
    stream.run(time.monotonic() + seconds)
    return stream.report("200")


def _medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}


def _standing(data: DataDir, action: str, name: str) -> None:
    request(data, f"{action}-instance", kind="source", name=name, reason="", by="benchmark")


if __name__ == "__main__":
    main()
