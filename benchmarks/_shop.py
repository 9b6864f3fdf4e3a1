"""A data directory with Online Retail in it, made the way a shop's is made: import, lake, gold.

Used by the benchmarks; figures of these steps are not theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from retaild.host.registry import PluginRegistry
from retaild.runtime.context import JobContext, surroundings
from retaild.runtime.state import State

ROOT = Path(__file__).parents[1]
TILLS = ROOT / "retaild" / "demo" / "data" / "online_retail.parquet"

CONFIG = """
[retaild]
timezone = "Europe/London"
currency = "GBP"
clock_offset_seconds = {offset}

[api]
port = {port}

[lake]
interval_seconds = 0.2

[source.tills]
plugin = "tabular"
path = "{tills}"
timezone = "Europe/London"
currency = "GBP"

[source.tills.columns]
receipt_id = "InvoiceNo"
product_id = "StockCode"
description = "Description"
quantity = "Quantity"
unit_price = "UnitPrice"
event_time = "InvoiceDate"
customer_id = "CustomerID"
country = "Country"

[source.tills.lines]
return_receipt = "^C"
product = '^\\d{{5}}[A-Za-z]*$'
"""
#: The last day of the data, 2011-12-09 13:00 UTC: the shop's clock shows it.
LAST_DAY = 1323435600


def options(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path("/tmp/retaild-benchmark"))
    parser.add_argument("--no-model", action="store_true", help="popularity answers")
    return parser


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(root: Path, *, model: bool, extra: str = "") -> Path:
    """Make the directory unless it is there; its configuration file, with `extra` at its end."""
    config = root / "retaild.toml"
    root.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(offset=LAST_DAY - int(time.time()), port=free_port(), tills=TILLS)
    config.write_text(text + extra)
    done = root / ("trained" if model else "loaded")
    if not done.exists():
        _fill(config, root / "data", model)
        done.touch()
    return config


def _fill(config: Path, data: Path, model: bool) -> None:
    settings, directory = surroundings(config, data)
    state = State(directory.state_db)
    context = JobContext(
        "bench", settings, directory, PluginRegistry.load(), state, threading.Event()
    )
    _import(context)
    for name in ("gold", "features") if model else ("gold",):
        _job(context, name)
    if model:
        _job(context, "train", trainer="recommender")
        _job(context, "train", trainer="price")
    _job(context, "materialize")


def _import(context: JobContext) -> None:
    from retaild.runtime.ingest_append import append_batch

    began = time.perf_counter()
    bus, source = context.bus(), context.build("source", "tills")
    bus.open()
    source.open(None)
    while (batch := source.poll()) is not None:
        append_batch(bus, batch)
    source.close()
    stream = context.build("stream", "stream")
    progress = stream.open(bus)
    while progress.offset < bus.end().offset:
        progress = stream.step()
    stream.close()
    bus.close()
    print(
        f"  imported {progress.rows} rows in {time.perf_counter() - began:.1f} s", file=sys.stderr
    )


def _job(context: JobContext, name: str, **arguments: str) -> None:
    from dataclasses import replace

    from retaild.runtime.jobs import JOBS

    began = time.perf_counter()
    JOBS[name].load()(replace(context, arguments=arguments))
    print(f"  {name} {arguments or ''} {time.perf_counter() - began:.1f} s", file=sys.stderr)


class Served:
    """The serve worker as a process of its own."""

    def __init__(self, config: Path, *, entry: str = "") -> None:
        self.config, self.data = config, config.parent / "data"
        text = config.read_text()
        self.port = int(next(line.split("=")[1] for line in text.splitlines() if "port =" in line))
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "retaild.runtime.worker", "serve"]
        command += ["--data", str(self.data), "--config", str(config)]
        command += ["--entry", entry] if entry else []
        paths = os.pathsep.join(str(ROOT / name) for name in ("", "plugins", "benchmarks"))
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})

    def wait(self, path: str = "/health/ready", seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url + path, timeout=2).read()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(path)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.loads(answer.read())

    def metric(self, name: str) -> float:
        text = urllib.request.urlopen(self.url + "/metrics", timeout=10).read().decode()
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name)))

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return round(int(kib) / 1024, 1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


def customer_ids(data: Path) -> list[str]:
    from retaild.runtime.serving.base import bases, read_base

    return list(read_base(bases(data / "online")[0]).customers["customer_id"])


def product_ids(data: Path) -> list[str]:
    from retaild.runtime.serving.base import bases, read_base

    return list(read_base(bases(data / "online")[0]).products["product_id"])
