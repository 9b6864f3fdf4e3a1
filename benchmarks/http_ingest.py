"""Accepted events a second over HTTP in batches of 100, beside the bare log.

Every batch is answered after the disk has confirmed it and the events are known to the next
recommendation. The bare log appends the same events, already encoded, in the same batches from the
same number of threads. The client is a process of its own.

    python benchmarks/http_ingest.py [--events 40000]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from _shop import CONFIG, Served, free_port, options

BATCH = 100

_CLIENT = """
import asyncio, json, sys, time
port, events, connections, kind = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def event(n):
    if n % 2:
        return {"family": "activity", "action": "view", "customer_id": f"c{n % 5000}",
                "product_id": f"p{n % 3000}", "event_id": f"{kind}-{n}",
                "event_time": "2011-12-09T12:00:00Z"}
    return {"family": "sale", "receipt_id": f"{kind}-{n // 20}", "product_id": f"p{n % 3000}",
            "quantity": "2", "unit_price": "2.55", "currency": "GBP", "customer_id": f"c{n % 5000}",
            "description": "WHITE HANGING HEART T-LIGHT HOLDER", "event_id": f"{kind}-{n}",
            "event_time": "2011-12-09T12:00:00Z", "country": "United Kingdom"}
def body(first):
    text = json.dumps([event(n) for n in range(first, first + 100)]).encode()
    head = (f"POST /api/v1/events HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n"
            f"Content-Type: application/json\\r\\nContent-Length: {len(text)}\\r\\n\\r\\n")
    return head.encode() + text
requests = [body(first) for first in range(0, events, 100)]
latencies = []
async def send(mine):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in mine:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        assert b" 202 " in head.split(b"\\r\\n")[0], head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0])
        answer = json.loads(await reader.readexactly(length))
        assert answer["accepted"] == 100, answer
        latencies.append(time.perf_counter() - began)
async def main():
    began = time.perf_counter()
    await asyncio.gather(*(send(requests[n::connections]) for n in range(connections)))
    seconds = time.perf_counter() - began
    latencies.sort()
    print(json.dumps({"events_s": round(events / seconds),
        "batch_p50_ms": round(latencies[len(latencies) // 2] * 1000, 2),
        "batch_p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 2)}))
asyncio.run(main())
"""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.data.parent) as folder:
        config = Path(folder) / "retaild.toml"
        config.write_text(CONFIG.format(offset=0, port=free_port(), tills=folder))
        served = Served(config)
        report: dict[str, Any] = {"batch": BATCH}
        try:
            served.wait()
            for connections in (1, 8):
                command = [sys.executable, "-c", _CLIENT, str(served.port), str(arguments.events)]
                command += [str(connections), f"k{connections}"]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found = json.loads(out)
                bare = bare_log(Path(folder), arguments.events, connections)
                ratio = round(found["events_s"] / bare, 3)
                report[f"connections_{connections}"] = {**found, "bare_s": bare, "ratio": ratio}
                print(f"  {connections} connections: {found}  bare log {bare}/s  ratio {ratio}")
            report["rss_mib"] = served.rss_mib()
        finally:
            served.stop()
    print(json.dumps(report))


def bare_log(folder: Path, events: int, threads: int) -> int:
    """Events a second that the log itself takes in the same batches."""
    from retaild_plugins.buses.embedded.plugin import retaild_buses

    from retaild.api import BuildContext
    from retaild.api.bus import Entry

    (spec,) = retaild_buses()
    build = BuildContext("bus", folder / f"bare-{threads}", folder)
    bus = spec.build(spec.config(), build)
    bus.open()
    line = json.dumps({"event_id": "x" * 20, "text": "y" * 220}).encode()
    entry = Entry("sale", "json", BATCH, b"\n".join([line] * BATCH))

    def append(count: int) -> None:
        for _ in range(count):
            bus.append([entry])

    workers = [
        threading.Thread(target=append, args=(events // BATCH // threads,)) for _ in range(threads)
    ]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    bus.close()
    return round(events / seconds)


if __name__ == "__main__":
    main()
