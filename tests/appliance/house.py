"""A shop on the appliance's servers that tests can hurt: a real daemon, a folder, a busy till."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import psutil

from retaild.api.lake import Lake
from retaild.demo import cluster
from retaild.demo.choice import Choice
from retaild.demo.shop import Shop
from retaild.runtime.state import State

#: Seconds that a server may take to come back on a machine that does much else.
PATIENCE = 120.0
#: A job gives way to all else.
JOB_PATIENCE = 240.0
#: All servers of the profile, and the log carried without Java.
WITHOUT_SPARK = Choice("embedded", frozenset({"mllib"}))


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.1)


class Till(threading.Thread):
    """Posts small batches without pause; sends one again until it is accepted."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self._port, self._name = port, name
        self.ended = threading.Event()
        self.accepted: list[str] = []
        #: Seconds that the slowest batch took until it was accepted, all its tries together.
        self.longest = 0.0

    def run(self) -> None:
        while not self.ended.is_set():
            ids = [f"{self._name}-{len(self.accepted) + i}" for i in range(5)]
            began = time.monotonic()
            while not self._post(ids):
                time.sleep(0.05)
            self.longest = max(self.longest, time.monotonic() - began)
            self.accepted += ids
            time.sleep(0.005)

    def _post(self, ids: list[str]) -> bool:
        events = [
            {"family": "stock", "event_id": one, "event_time": "2011-12-09T12:50:00Z",
             "product_id": f"P{number}", "on_hand": number}
            for number, one in enumerate(ids)
        ]  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/api/v1/events", json.dumps({"events": events}), headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
            assert not said.get("rejected"), said
            return answer.status == 202
        return False

    def goes_on(self, batches: int = 20) -> None:
        """Wait until so many more were accepted."""
        wanted = len(self.accepted) + 5 * batches
        wait_for(lambda: len(self.accepted) >= wanted, "the door took more events")

    def end(self) -> None:
        self.ended.set()
        self.join(60)
        assert not self.is_alive(), "the till could not post its last events"


class House:
    """The daemon with a profile, and the year in parts."""

    def __init__(
        self, root: Path, year: Path, parts: int = 12, *, profile: str = "appliance",
        choice: Choice = WITHOUT_SPARK, patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        self.shop = Shop(root / "shop", _free_port(), profile, choice)
        self._parts = _split(year, root / "exports", parts)
        self._patience = patience
        #: Lines that were put into the watched folder.
        self.lines = 0
        self.posted: set[str] = set()

    def start(self) -> None:
        # Ports of its own: another test's broker may have the usual ones at any moment.
        with patch("retaild.demo.choice._is_free", return_value=False):
            self.shop.lay_out()
        # From so little no model is as good as is asked of one: people decide.
        self.configure("70-test.toml", "[gate.quality]\nenabled = false\n")
        self.open()

    def open(self) -> None:
        """Start the daemon on the configuration as it lies there."""
        cluster.install(self.shop, cluster.settings_of(self.shop), print)
        self.shop.start()
        self.wait_until_whole()

    def configure(self, name: str, text: str) -> None:
        """A file of settings beside the main one; names that come later win."""
        parts = self.shop.root / "conf.d"
        parts.mkdir(exist_ok=True)
        (parts / name).write_text(text, "utf-8")

    def ctl(self, *arguments: str) -> dict[str, Any]:
        """`retaildctl ... --json` on this house; it must succeed."""
        own = ("--config", str(self.shop.config), "--data", str(self.shop.data.root))
        done = subprocess.run(
            [sys.executable, "-m", "retaild.cli", *own, *arguments, "--json"],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def wait_until_whole(self) -> None:
        def whole() -> bool:
            settings = cluster.settings_of(self.shop)
            return self.shop.answers("/health/live") and cluster.running(self.shop, settings)

        wait_for(whole, "the server and every service answered", 240)

    def bring_export(self) -> None:
        """The next part of the year into the watched folder."""
        path = self._parts.pop(0)
        self.lines += int(duckdb.execute(f"SELECT count(*) FROM '{path}'").fetchall()[0][0])
        self.shop.put(path, "tills")

    def till(self, name: str) -> Till:
        till = Till(self.shop.port, name)
        till.start()
        till.goes_on()
        return till

    # -- processes -------------------------------------------------------------------------------

    def worker(self, name: str) -> dict[str, Any]:
        state = State(self.shop.data.state_db)
        try:
            return next((row for row in state.workers() if row["name"] == name), {})
        finally:
            state.close()

    def server(self, service: str) -> int:
        """The process that listens on the service's port; 0 if none does."""
        port = cluster.settings_of(self.shop).service[service].settings["port"]
        return next(
            (c.pid or 0 for c in psutil.net_connections("tcp")
             if c.status == psutil.CONN_LISTEN and c.laddr.port == port),
            0,
        )  # fmt: skip

    def kill_server(self, service: str) -> Callable[[], bool]:
        """kill -9; the answer says whether another one has taken its place and answers."""
        before = self.server(service)
        assert before
        os.kill(before, signal.SIGKILL)

        def back() -> bool:
            row = self.worker(f"service.{service}")
            answers = (row.get("figures") or {}).get("answers") == "yes"
            running = row.get("state") == "running" and answers
            return running and self.server(service) not in (0, before)

        return back

    def kill_worker(self, name: str) -> Callable[[], bool]:
        """As `kill_server`, of one of retaild's own workers."""
        before = self.worker(name)["pid"]
        os.kill(before, signal.SIGKILL)

        def back() -> bool:
            row = self.worker(name)
            return row["state"] == "running" and row["pid"] not in (None, before)

        return back

    def kill_daemon(self) -> None:
        """kill -9, and start it again, as systemd does."""
        assert self.shop.process is not None
        self.shop.process.kill()
        self.shop.process.wait()
        self.shop.start()

    # -- what must hold ----------------------------------------------------------------------------

    def run_job(self, job: str) -> dict[str, Any]:
        """Its run, when it has ended."""
        run_id = int(self.shop.post(f"/api/v1/jobs/{job}/run")["run_id"])
        return self.finished(run_id)

    def finished(self, run_id: int) -> dict[str, Any]:
        state = State(self.shop.data.state_db)
        try:
            wait_for(
                lambda: (state.run(run_id) or {})["state"] not in ("queued", "running"),
                f"run {run_id} ended",
                JOB_PATIENCE,
            )
            return dict(state.run(run_id) or {})
        finally:
            state.close()

    def settle(self, till: Till) -> None:
        """No more is posted; silver must become, and stay, what was taken in: each event once."""
        till.end()
        self.posted.update(till.accepted)
        self.wait_for(lambda: self.count("silver.sale") >= self.lines, "all lines were in silver")
        self.wait_for(
            lambda: self.count("silver.stock") >= len(self.posted), "all events were in silver"
        )
        self.wait_for(
            lambda: self.worker("stream")["figures"].get("lag_rows") == 0, "the log was read"
        )
        lines, different = self._ids("silver.sale")
        assert (lines, len(different)) == (self.lines, self.lines)
        events, found = self._ids("silver.stock")
        # What was sent and lost on the way back to the till is there, too, under its id.
        assert found == self.posted
        assert events == len(self.posted)

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        """As long as this house's engine may take."""
        wait_for(condition, what, self._patience)

    def count(self, table: str) -> int:
        lake = Lake(self.shop.data.lake)
        return int(lake.table(table).count()) if lake.exists(table) else 0

    def _ids(self, table: str) -> tuple[int, set[str]]:
        ids = Lake(self.shop.data.lake).table(table).to_pyarrow_table(columns=["event_id"])
        found = ids["event_id"].to_pylist()
        return len(found), set(found)


def _free_port() -> int:
    from retaild.testing.service import free_ports

    return free_ports(1)[0]


def _split(year: Path, directory: Path, parts: int) -> list[Path]:
    """Whole receipts: of the year's 24 shares the first file has four, each other has one."""
    directory.mkdir(parents=True)
    paths = [directory / f"export-{part:02}.parquet" for part in range(parts)]
    for part, path in enumerate(paths):
        share = f"= {3 + part}" if part else "< 4"
        chosen = f"hash(InvoiceNo) % 24 {share}"
        duckdb.execute(f"COPY (SELECT * FROM '{year}' WHERE {chosen}) TO '{path}'")
    return paths
