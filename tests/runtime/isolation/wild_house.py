"""A real daemon with a stranger's plugin beside the host: what its tests ask of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._daemon import running_daemon
from retaild.config.paths import DataDir
from retaild.events.codec import decode_table
from retaild.runtime.context import offline_context
from retaild.runtime.control import request
from retaild.runtime.instances import InstanceStore
from retaild.runtime.state import State

WILD = Path(__file__).parent / "wild"
#: A source beside the one that misbehaves, and a sink that is told at once.
NEIGHBOURS = """\
[alerts]
group_wait_seconds = 0
group_interval_seconds = 0
resolve_after_seconds = 0
[lake]
interval_seconds = 0.2
[source.steady]
folder = "."
[alert.duty]
plugin = "notebook"
folder = "."
"""
#: Distribution -> its module.
_DISTRIBUTIONS = {"wild": "retaild_wild", "wild-engines": "retaild_wild_engines"}


def installed(folder: Path) -> list[Path]:
    """What to put on PYTHONPATH, so that the plugins count as installed beside the host."""
    site = folder / "site"
    for name, module in _DISTRIBUTIONS.items():
        facts = site / f"{module}-1.0.dist-info"
        facts.mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: retaild-{name}\nVersion: 1.0\n"
        (facts / "METADATA").write_text(metadata)
        (facts / "entry_points.txt").write_text(f"[retaild.plugins]\n{name} = {module}\n")
    return [site, WILD]


def eventually(condition: Any, seconds: float = 30.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@dataclass
class WildHouse:
    folder: Path
    config: Path
    environment: dict[str, str]
    data: DataDir = field(init=False)

    def __post_init__(self) -> None:
        self.data = DataDir(self.folder / "retaild-data")
        self.state = State(self.data.state_db)
        self.store = InstanceStore(self.state)

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        return request(self.data, command, **fields)

    def daemon(self) -> int:
        """Its process."""
        return int(self.ask("status")["daemon"]["pid"])

    def tell(self, name: str, what: str) -> None:
        (self.folder / f"{name}.{what}").touch()

    def row(self, name: str) -> dict[str, Any]:
        return {row["name"]: row for row in self.state.workers()}.get(name, {})

    def pids(self) -> dict[str, tuple[int, int]]:
        """Worker -> (process, restarts)."""
        return {row["name"]: (row["pid"], row["restarts"]) for row in self.state.workers()}

    def log(self, name: str) -> str:
        return self.data.worker_log(name).read_text()

    def alerts(self) -> dict[str, str]:
        """Key -> severity of those that are not over."""
        sql = "SELECT key, severity FROM alert WHERE resolved IS NULL"
        return {row["key"]: row["severity"] for row in self.state.rows(sql)}

    def events(self, source: str) -> list[str]:
        """Ids of a source's events in the log, in order."""
        bus = offline_context(self.config, self.data.root).bus()
        bus.open()
        found: list[str] = []
        offset = 0
        while entries := bus.read(offset):
            for item in entries:
                entry = item.entry
                table = decode_table(entry.family, entry.codec, entry.payload)
                rows = table.select(["source", "event_id"]).to_pylist()
                found += [row["event_id"] for row in rows if row["source"] == source]
            offset = entries[-1].offset + 1
        bus.close()
        return found

    def longest_gap(self, since: float, name: str = "steady") -> float:
        """Of the neighbour's events since then (monotonic): seconds between two durable ones."""
        lines = (self.folder / f"{name}.gaps").read_text().splitlines()
        gaps = [tuple(map(float, line.split())) for line in lines if line.count(".") == 2]
        recent = [gap for at, gap in gaps if at >= since]
        return max([*recent, time.monotonic() - gaps[-1][0]])


@contextmanager
def wild_house(folder: Path, config: str) -> Iterator[WildHouse]:
    path = os.pathsep.join(map(str, installed(folder)))
    with running_daemon(folder, config, path) as (file, environment):
        yield WildHouse(folder, file, environment)
