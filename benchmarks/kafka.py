"""The log on Kafka beside the embedded log, in one run; with --freshness also to the answers.

Append and read rows a second in Arrow batches, single small appends, and from the end of an append
to the entry in another reader's hands, which polls. With --freshness: an event that another process
appends, until the server's recommendation has changed (it is polled over HTTP), over either log.
Needs Java and the software `kafka` (`retaildctl service install kafka`) in --software.

    python benchmarks/kafka.py --software DIR [--rows 1000000] [--freshness 1000]
"""

from __future__ import annotations

import http.client
import json
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from _shop import LAST_DAY, Served, customer_ids, options, prepare
from freshness import quantile, slate

from retaild.api import BuildContext, Bus, Entry
from retaild.events.activity import Activity
from retaild.events.codec import encode_events, encode_table, to_table
from retaild.host.registry import PluginRegistry
from retaild.runtime.context import JobContext, surroundings
from retaild.runtime.services.keeper import Keeper
from retaild.runtime.state import State
from retaild.testing.service import free_ports

BATCH = 20_000
SMALL = 500


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--software", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--freshness", type=int, default=0, help="events to measure with")
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with broker(root, arguments.software) as settings:
            for name in ("embedded", "kafka"):
                own = settings if name == "kafka" else {}
                report[name] = speeds(partial(bus, name, own, root), arguments.rows)
                say(name, report[name])
    for name in ("embedded", "kafka") if arguments.freshness else ():
        report[name] |= freshness(name, arguments)
        say(name, report[name])
    report["append_ratio"] = round(
        report["kafka"]["append_rows_s"] / report["embedded"]["append_rows_s"], 3
    )
    print(json.dumps(report))


def say(name: str, figures: dict[str, float]) -> None:
    print(f"  {name}: " + ", ".join(f"{key} {value:,}" for key, value in figures.items()))


@contextmanager
def broker(data: Path, software: Path) -> Iterator[dict[str, object]]:
    """A broker of the service `kafka` in this data directory; the bus's settings for it."""
    port, controller = free_ports(2)
    spec = PluginRegistry.load().spec("service", "kafka")
    config = spec.config.model_validate({"port": port, "controller_port": controller})
    services = data / "service"
    context = BuildContext(
        "kafka", services / "kafka", data / "lake", software_dir=software, services_dir=services
    )
    keeper = Keeper(spec.build(config, context))
    try:
        keeper.start()
        yield {"bootstrap_servers": f"127.0.0.1:{port}"}
    finally:
        keeper.stop()


def bus(name: str, settings: dict[str, object], root: Path) -> Bus:
    spec = PluginRegistry.load().spec("bus", name)
    context = BuildContext(name, root / name, root / "lake", services_dir=root / "service")
    opened: Bus = spec.build(spec.config.model_validate(settings), context)
    opened.open()
    return opened


def activity(customer: str, product: str, number: int | None = None) -> Activity:
    return Activity(
        event_id=str(uuid.uuid4() if number is None else number), source="bench",
        event_time=datetime.fromtimestamp(LAST_DAY, UTC), action="basket_add",
        customer_id=customer, product_id=product,
    )  # fmt: skip


def speeds(opened: Callable[[], Bus], rows: int) -> dict[str, float]:
    table = to_table([activity(f"c{n % 900}", f"p{n % 3000}", n) for n in range(BATCH)])
    batch = Entry("activity", "arrow", BATCH, encode_table(table))
    small = Entry("activity", "json", 1, encode_events([activity("c1", "p1")]))
    with closing(opened()) as writing, closing(opened()) as reading:
        began = time.perf_counter()
        for _ in range(rows // BATCH):
            writing.append([batch])
        appended = time.perf_counter() - began
        began, offset = time.perf_counter(), 0
        while found := reading.read(offset):
            offset = found[-1].offset + 1
        read = time.perf_counter() - began
        appends, seen = [], []
        for _ in range(SMALL):
            began = time.perf_counter()
            writing.append([small])
            confirmed = time.perf_counter()
            while not (found := reading.read(offset)):
                pass
            offset = found[-1].offset + 1
            appends.append((confirmed - began) * 1000)
            seen.append((time.perf_counter() - confirmed) * 1000)
            time.sleep(0.002)
    return {
        "append_rows_s": round(rows / appended),
        "read_rows_s": round(rows / read),
        "append_p50_ms": round(quantile(appends, 0.5), 3),
        "append_p99_ms": round(quantile(appends, 0.99), 3),
        "seen_p50_ms": round(quantile(seen, 0.5), 3),
        "seen_p99_ms": round(quantile(seen, 0.99), 3),
    }


def freshness(name: str, arguments: Any) -> dict[str, float]:
    """From the end of another process's append to a changed recommendation."""
    root = arguments.data.with_name(f"{arguments.data.name}-{name}")
    if name == "embedded":
        return _fresh(prepare(root, model=not arguments.no_model), arguments.freshness)
    with broker(root / "data", arguments.software) as settings:
        lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
        extra = f'\n[bus]\nplugin = "kafka"\n{lines}'
        config = prepare(root, model=not arguments.no_model, extra=extra)
        return _fresh(config, arguments.freshness)


def _fresh(config: Path, events: int) -> dict[str, float]:
    ids, served = customer_ids(config.parent / "data"), Served(config)
    fresh = []
    settings, directory = surroundings(config, config.parent / "data")
    state = State(directory.state_db)
    context = JobContext(
        "bench", settings, directory, PluginRegistry.load(), state, threading.Event()
    )
    try:
        served.wait()
        while served.metric("retaild_personal_seconds") < 0:
            time.sleep(0.2)
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        chance = random.Random(7)
        with closing(context.bus()) as log:
            log.open()
            for _ in range(events):
                customer = chance.choice(ids)
                taken = chance.choice(slate(connection, customer))
                log.append(
                    [Entry("activity", "json", 1, encode_events([activity(customer, taken)]))]
                )
                confirmed = time.perf_counter()
                while taken in slate(connection, customer):
                    pass
                fresh.append((time.perf_counter() - confirmed) * 1000)
    finally:
        served.stop()
    return {
        "fresh_p50_ms": round(quantile(fresh, 0.5), 3),
        "fresh_p99_ms": round(quantile(fresh, 0.99), 3),
    }


if __name__ == "__main__":
    main()
