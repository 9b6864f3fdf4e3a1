"""kill -9 at random moments: nothing lost, nothing twice; compaction beside it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from deltalake.exceptions import CommitFailedError
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog

from retaild.api import Entry, Lake
from retaild.events import Sale
from retaild.pipeline.streams import carried_offset
from retaild.testing.stream import NINE, entry, sale

_PROGRAM = Path(__file__).with_name("_killed_stream.py")
_PATIENCE = 60.0


class Run:
    """A log that grows, a stream process that is killed, and what should be in the lake."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.lake = root, Lake(root / "lake")
        self.random = random.Random(seed)
        self.bus = EmbeddedLog(EmbeddedLogConfig(sync=False), root / "log")
        self.bus.open()
        self.accepted: Counter[str] = Counter()
        self.sales: dict[str, Sale] = {}
        self.letters = 0
        self._child: subprocess.Popen[str] | None = None

    def append(self, events: int) -> None:
        """New events, repeats of old ones, late ones, and now and then an unreadable entry."""
        made = [self._sale() for _ in range(events)]
        for one in made:
            self.accepted[one.event_id] += 1
            self.sales.setdefault(one.event_id, one)
        entries = [entry(*made, codec=self.random.choice(["json", "arrow"]))]
        if self.random.random() < 0.2:
            # Unlike any other: the same refused bytes at the same place count once.
            entries.append(Entry("sale", "json", 1, b"{broken"))
            self.letters += 1
        self.bus.append(entries)

    def _sale(self) -> Sale:
        if self.sales and self.random.random() < 0.2:
            return self.sales[self.random.choice(list(self.sales))]
        number = len(self.sales)
        hours = self.random.choice([number // 40, self.random.randrange(number // 40 + 1)])
        return sale(
            f"e{number:06d}", NINE + timedelta(hours=hours), receipt_id=f"R{number // 3}",
            quantity=str(self.random.randrange(1, 9)), unit_price="1.25",
        )  # fmt: skip

    def start(self) -> None:
        rows = self.random.choice([1, 20, 100, 10_000])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self._child = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(self.root), str(rows)],
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"

    def kill(self) -> None:
        assert self._child is not None
        assert self._child.poll() is None, "the stream process ended by itself"
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()

    def settle(self) -> None:
        """Let it carry all that there is."""
        until = time.monotonic() + _PATIENCE
        while carried_offset(self.lake) < self.bus.end().offset:
            assert time.monotonic() < until, "the stream does not get to the end of the log"
            time.sleep(0.05)

    def check(self) -> None:
        """Every table against what was accepted."""

        def ids(name: str) -> Counter[str]:
            column = self.lake.dataset(name).to_table(columns=["event_id"])["event_id"]
            return Counter(column.to_pylist())

        assert ids("bronze.sale") == self.accepted
        assert ids("silver.sale") == Counter(self.sales.keys())
        for name in ("bronze.dead_letter", "silver.dead_letter"):
            assert sum(ids(name).values()) == self.letters
        self._check_windows()

    def _check_windows(self) -> None:
        expected: dict[object, list[Sale]] = {}
        for one in self.sales.values():
            expected.setdefault(one.event_time.replace(minute=0), []).append(one)
        found = self.lake.dataset("silver.sale_window_hour").to_table().to_pylist()
        assert {row["window_start"] for row in found} == set(expected)
        assert len(found) == len(expected)
        for row in found:
            lines = expected[row["window_start"]]
            assert row["lines"] == len(lines)
            assert row["receipts"] == len({line.receipt_id for line in lines})
            assert row["units"] == sum((line.quantity for line in lines), Decimal(0))
            assert row["revenue"] == row["units"] * Decimal("1.25")


def kill_again_and_again(root: Path, seed: int, kills: int, *, compact: bool = False) -> None:
    run = Run(root, seed)
    stop, failures = threading.Event(), []
    conflicts: list[str] = []

    def compacting() -> None:
        while not stop.wait(0.05):
            for name in run.lake.names():
                try:
                    run.lake.compact(name, 1)
                except CommitFailedError:
                    # The writer replaced the very files again and again: as the job does, leave
                    # the table to the next time. What counts is that no row is harmed.
                    conflicts.append(name)
                except Exception as error:
                    failures.append(error)

    thread = threading.Thread(target=compacting)
    if compact:
        thread.start()
    try:
        for _ in range(kills):
            run.append(run.random.randrange(1, 200))
            run.start()
            for _ in range(run.random.randrange(4)):
                run.append(run.random.randrange(1, 60))
                time.sleep(run.random.random() * 0.1)
            time.sleep(run.random.random() * 0.15)
            run.kill()
        run.start()
        run.settle()
        run.kill()
    finally:
        stop.set()
        if compact:
            thread.join()
        run.bus.close()
    assert failures == []
    run.check()


def test_nothing_is_lost_nor_doubled_by_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, seed=1, kills=12)


def test_kills_while_tables_are_compacted(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, seed=2, kills=4, compact=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_kills(tmp_path: Path, seed: int) -> None:
    kill_again_and_again(tmp_path, seed, kills=20, compact=bool(seed % 2))
