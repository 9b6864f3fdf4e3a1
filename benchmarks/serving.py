"""Recommendations for random customers: requests a second and latency, beside the raw limit.

The raw limit is a bare ASGI application that answers a constant of the same size, on the same
server (uvicorn, uvloop, httptools) with the same settings, in the same run. The client is wrk in a
process of its own. Both are measured in turns, so that a noisy machine hits both.

    python benchmarks/serving.py [--seconds 4] [--rounds 3] [--no-model] [--training]
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _shop import Served, customer_ids, free_port, options, prepare

_SCRIPT = """
local customers = {{ {ids} }}
math.randomseed(os.time())
request = function()
  local id = customers[math.random(#customers)]
  return wrk.format("GET", "/api/v1/customers/" .. id .. "/recommendations")
end
done = function(summary, latency)
  io.write(string.format("RESULT %f %f %f %f %d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""

_RAW = """
import asyncio, sys, uvicorn
BODY = b"x" * int(sys.argv[2])
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
START = {"type": "http.response.start", "status": 200, "headers": HEADERS}
END = {"type": "http.response.body", "body": BODY}
async def app(scope, receive, send):
    await send(START)
    await send(END)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), http="httptools", loop="uvloop",
            ws="none", lifespan="off", access_log=False, server_header=False,
            log_level="warning")
"""

#: Keeps one core busy as training does: LightGBM on what looks like ranking data.
_TRAINING = """
import os; os.nice(10)
import numpy, lightgbm
generator = numpy.random.default_rng(7)
x, y = generator.normal(size=(300_000, 20)), generator.integers(0, 2, 300_000)
while True:
    lightgbm.train({"objective": "binary", "num_threads": 2, "verbosity": -1},
                   lightgbm.Dataset(x, y), 100)
"""


def load(url: str, script: Path, connections: int, seconds: float) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (.*)", out)
    assert found, out
    rate, p50, p99, slowest, errors = map(float, found[1].split())
    assert not errors, out
    return {"requests_s": rate, "p50_ms": p50, "p99_ms": p99, "max_ms": slowest}


def in_turns(
    urls: dict[str, str], script: Path, connections: int, seconds: float, rounds: int
) -> dict[str, dict[str, float]]:
    """Medians over the rounds, per name."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            results[name].append(load(url, script, connections, seconds))
    return {
        name: {key: round(statistics.median(r[key] for r in rs), 3) for key in rs[0]}
        for name, rs in results.items()
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config = prepare(arguments.data, model=not arguments.no_model)
    ids = customer_ids(config.parent / "data")
    script = arguments.data / "customers.lua"
    script.write_text(_SCRIPT.format(ids=", ".join(json.dumps(i) for i in ids)))
    began = time.perf_counter()
    served = Served(config)
    extra: list[subprocess.Popen[bytes]] = []
    try:
        served.wait()
        report: dict[str, Any] = {"ready_s": round(time.perf_counter() - began, 2)}
        while served.metric("retaild_personal_seconds") < 0:
            time.sleep(0.2)
        report["everyone_ranked_s"] = round(served.metric("retaild_personal_seconds"), 2)
        report["customers"] = len(ids)
        size = len(json.dumps(served.get(f"/api/v1/customers/{ids[0]}/recommendations")))
        raw_port = free_port()
        raw = subprocess.Popen([sys.executable, "-c", _RAW, str(raw_port), str(size)])
        extra.append(raw)
        time.sleep(1.5)
        urls = {"raw": f"http://127.0.0.1:{raw_port}", "retaild": served.url}
        for connections in (1, 16):
            found = in_turns(urls, script, connections, arguments.seconds, arguments.rounds)
            ratio = found["retaild"]["requests_s"] / found["raw"]["requests_s"]
            report[f"connections_{connections}"] = {**found, "ratio": round(ratio, 3)}
            print(f"{connections:3} connections: {found['retaild']}  raw {found['raw']}  "
                  f"ratio {ratio:.2f}")  # fmt: skip
        training = subprocess.Popen([sys.executable, "-c", _TRAINING])
        extra.append(training)
        time.sleep(4)
        found = in_turns({"retaild": served.url}, script, 1, arguments.seconds, arguments.rounds)
        report["while_training_1"] = found["retaild"]
        print(f"  1 connection while a model trains: {found['retaild']}")
        training.kill()
        training.wait()
        report["rss_mib"] = served.rss_mib()
    finally:
        for process in extra:
            process.kill()
            process.wait()
        served.stop()
    report["uncached"] = uncached(config, script, arguments.seconds)
    print(f"  without ready answers: {report['uncached']}")
    print(json.dumps(report))


def uncached(config: Path, script: Path, seconds: float) -> dict[str, Any]:
    """Every slate ranked and rendered in its request."""
    served = Served(config, entry="_uncached:main")
    try:
        served.wait()
        while served.metric("retaild_personal_seconds") < 0:
            time.sleep(0.2)
        return {
            f"connections_{connections}": load(served.url, script, connections, seconds)
            for connections in (1, 16)
        }
    finally:
        served.stop()


if __name__ == "__main__":
    main()
