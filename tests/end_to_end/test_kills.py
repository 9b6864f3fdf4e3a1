"""Any process can be killed at any moment: nothing accepted is lost, nothing is there twice.

A real daemon imports the real year from a watched folder while a till posts events over HTTP;
meanwhile its processes are killed with SIGKILL, one after another, at random moments. The daemon
itself is started again by the test, as systemd would do it; everything else must come back alone.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from retaild.api.lake import Lake
from retaild.config.paths import DataDir
from retaild.runtime.state import State

LINES = 541_909
TOTAL = Decimal("9747747.934")
CONFIG = r"""
[api]
port = {port}
[lake]
interval_seconds = 0.1
[source.tills]
plugin = "tabular"
path = "{inbox}"
timezone = "Europe/London"
settle_seconds = 0
[source.tills.columns]
receipt_id = "InvoiceNo"
product_id = "StockCode"
description = "Description"
quantity = "Quantity"
unit_price = "UnitPrice"
event_time = "InvoiceDate"
customer_id = "CustomerID"
country = "Country"
"""


class Appliance:
    """A data directory with a daemon that is started again whenever it is found dead."""

    def __init__(self, root: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.root = root
        self.inbox = root / "inbox"
        self.inbox.mkdir()
        self.config = root / "retaild.toml"
        self.config.write_text(CONFIG.format(port=self.port, inbox=self.inbox))
        self.data = DataDir(root / "data")
        self.process: subprocess.Popen[bytes] | None = None

    def ensure_running(self) -> None:
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "retaild.daemon", "--config", str(self.config)]
            with (self.root / "daemon.out").open("ab") as log:
                self.process = subprocess.Popen(
                    [*command, "--data", str(self.data.root)], stdout=log, stderr=log
                )

    def processes(self) -> dict[str, int]:
        """Name -> pid of the daemon and its workers, as far as they live."""
        found = {}
        if self.process is not None and self.process.poll() is None:
            found["daemon"] = self.process.pid
        if self.data.state_db.exists():
            state = State(self.data.state_db)
            found |= {w["name"]: w["pid"] for w in state.workers() if _alive(w["pid"])}
            state.close()
        return found

    def alive(self, name: str) -> bool:
        self.ensure_running()
        return name in self.processes()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)


def _alive(pid: int | None) -> bool:
    try:
        return bool(pid) and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Till(threading.Thread):
    """Posts batches of events for ever; sends a batch again until it is acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.sent = 0
        self.acknowledged: list[str] = []
        self.repeated = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            events = [self._event(self.sent + i) for i in range(5)]
            self.sent += len(events)
            while not self._post(events):
                self.repeated += 1
                time.sleep(0.05)
            self.acknowledged += [event["event_id"] for event in events]

    @staticmethod
    def _event(number: int) -> dict[str, Any]:
        return {
            "family": "stock",
            "event_id": f"till-{number}",
            "event_time": "2011-12-09T12:50:00Z",
            "product_id": f"P{number % 50}",
            "on_hand": number % 7,
        }

    def _post(self, events: list[dict[str, Any]]) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            body = json.dumps({"events": events})
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/api/v1/events", body, headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
            assert not said.get("rejected"), said
            return answer.status == 202
        return False


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path)
    yield appliance
    for pid in appliance.processes().values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if appliance.process is not None:
        appliance.process.wait()


def query(lake: Lake, sql: str, *tables: str) -> tuple[Any, ...]:
    with duckdb.connect() as connection:
        for table in tables:
            connection.register(table.replace(".", "_"), lake.dataset(table))
        row = connection.execute(sql).fetchone()
        assert row is not None
        return row


def kill_again_and_again(appliance: Appliance, exports: list[Path], kills: int, seed: int) -> None:
    """Kill each kind of process `kills` / 4 times, in random order, at random moments.

    Meanwhile the exports arrive in the inbox one by one, spread over the kills.
    """
    chance = random.Random(seed)
    targets = ["daemon", "ingest", "stream", "serve"] * (kills // 4)
    chance.shuffle(targets)
    waiting = list(exports)
    for number, target in enumerate(targets):
        while len(waiting) > len(exports) * (1 - (number + 1) / len(targets)):
            export = waiting.pop(0)
            export.rename(appliance.inbox / export.name)
        assert wait_for(lambda name=target: appliance.alive(name), 30), f"{target} did not return"
        time.sleep(chance.uniform(0.0, 0.6))
        pid = appliance.processes().get(target)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        if target == "daemon" and appliance.process is not None:
            appliance.process.wait()


def split_by_receipt(data: Path, directory: Path, parts: int) -> list[Path]:
    """The year as several exports; a receipt's lines stay together, as a till would write them."""
    directory.mkdir()
    paths = [directory / f"export-{part:02}.parquet" for part in range(parts)]
    with duckdb.connect() as connection:
        for part, path in enumerate(paths):
            query = f"SELECT * FROM '{data}' WHERE hash(InvoiceNo) % {parts} = {part}"
            connection.execute(f"COPY ({query}) TO '{path}'")
    return paths


def wait_for(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def survive(appliance: Appliance, online_retail: Path, kills: int, seed: int) -> None:
    appliance.ensure_running()
    till = Till(appliance.port)
    till.start()
    exports = split_by_receipt(online_retail, appliance.root / "exports", 10)
    kill_again_and_again(appliance, exports, kills, seed)
    assert not list((appliance.root / "exports").iterdir())
    appliance.ensure_running()

    lake = Lake(appliance.data.lake)

    def all_lines() -> bool:
        return lake.exists("silver.sale") and lake.table("silver.sale").count() >= LINES

    assert wait_for(all_lines, 120), "the import did not finish"
    till.stopping.set()
    till.join(60)
    assert not till.is_alive(), "the till could not post its last events"
    assert till.acknowledged

    def all_events() -> bool:
        return lake.exists("silver.stock") and lake.table("silver.stock").count() >= till.sent

    assert wait_for(all_events, 60), "events that were acknowledged did not reach silver"
    assert appliance.stop() == 0

    lines, ids, total = query(
        lake, "SELECT count(*), count(DISTINCT event_id), sum(amount) FROM silver_sale",
        "silver.sale",
    )  # fmt: skip
    assert (lines, ids, total) == (LINES, LINES, TOTAL)
    events, ids = query(
        lake, "SELECT count(*), count(DISTINCT event_id) FROM silver_stock", "silver.stock"
    )
    assert (events, ids) == (till.sent, till.sent)


@pytest.mark.timeout(280)
def test_twenty_kills_during_an_import_and_live_events_lose_nothing(
    appliance: Appliance, online_retail: Path
) -> None:
    survive(appliance, online_retail, kills=20, seed=11)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_hundred_kills_lose_nothing(appliance: Appliance, online_retail: Path) -> None:
    survive(appliance, online_retail, kills=200, seed=12)
