"""A small shop on disk whose files the tests break, as disks and power cuts do."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retaild.api import Entry
from retaild.api.bus import LogEnd
from retaild.api.lake import Lake
from retaild.runtime.context import WorkerContext, offline_context
from retaild.runtime.stream import StreamWorker
from retaild.testing.stream import entry, rows, sale


class Shop:
    """The log, and the stream worker that carries it into the lake."""

    def __init__(self, root: Path) -> None:
        self.context = offline_context(None, root)
        self.data = self.context.data
        self.lake = Lake(self.data.lake)

    def append(self, *entries: Entry) -> LogEnd:
        with closing(self.context.bus()) as bus:
            bus.open()
            return bus.append(entries)

    def sell(self, *ids: str) -> LogEnd:
        return self.append(*(entry(sale(name)) for name in ids))

    def carry(self) -> None:
        """A stream worker's life: it opens, carries all there is, and stops."""
        c = self.context
        own = WorkerContext("stream", c.settings, c.data, c.plugins, c.state, threading.Event())
        with closing(c.bus()) as bus, closing(c.build("stream", "stream")) as processor:
            worker = StreamWorker(own, bus, processor)
            progress = worker._open()
            while progress.offset < bus.end().offset:
                progress = processor.step()

    def sold(self) -> list[str]:
        return [name for (name,) in rows(self.lake, "silver.sale", "event_id")]

    def commits(self, table: str) -> list[Path]:
        return sorted((self.lake.path(table) / "_delta_log").glob("*[0-9].json"))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Two lines, each carried by itself."""
    shop = Shop(tmp_path / "data")
    for name in ("a", "b"):
        shop.sell(name)
        shop.carry()
    yield shop
    shop.context.state.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of two mebibytes: a tmpfs, which needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
