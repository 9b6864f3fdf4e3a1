"""A small shop for tests of the doors: its configuration, its files, what is in its log."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retaild.api import Bus
from retaild.config.paths import DataDir
from retaild.events.codec import decode_table
from retaild.runtime.context import Context, WorkerContext, offline_context

CONFIG = """
[retaild]
timezone = "Europe/London"

[api]
max_backlog_rows = {backlog}

[source.tills]
plugin = "tabular"
path = "in"
startup = "{startup}"
settle_seconds = 0
dates = [{dates}]

[source.tills.columns]
receipt_id = "receipt"
product_id = "article"
description = "text"
quantity = "pieces"
unit_price = "price"
event_time = "time"
customer_id = "customer"
"""
HEADER = "receipt,article,text,pieces,price,time,customer\n"


def row(receipt: object, **fields: object) -> str:
    values = {"article": "A", "text": "Cup", "pieces": 1, "price": "2.50",
              "time": "2024-03-01 10:00", "customer": 17, **fields}  # fmt: skip
    return ",".join([str(receipt), *map(str, values.values())]) + "\n"


@dataclass
class Shop:
    root: Path

    def configure(
        self, *, startup: str = "retry", backlog: int = 100_000, dates: str = '"iso"'
    ) -> None:
        text = CONFIG.format(startup=startup, backlog=backlog, dates=dates)
        (self.root / "retaild.toml").write_text(text)

    @property
    def inbox(self) -> Path:
        return self.root / "in"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def data_dir(self) -> DataDir:
        return DataDir(self.data)

    def context(self) -> Context:
        return offline_context(self.root / "retaild.toml", self.data)

    def worker(self) -> WorkerContext:
        c = self.context()
        return WorkerContext("ingest", c.settings, c.data, c.plugins, c.state, threading.Event())

    def log(self) -> dict[str, list[dict[str, Any]]]:
        """Family -> everything in the log, in order."""
        bus: Bus = self.context().bus()
        bus.open()
        found: dict[str, list[dict[str, Any]]] = {"sale": [], "dead_letter": []}
        offset = 0
        while entries := bus.read(offset):
            for item in entries:
                entry = item.entry
                table = decode_table(entry.family, entry.codec, entry.payload)
                found[entry.family] += table.to_pylist()
            offset = entries[-1].offset + 1
        bus.close()
        return found

    def carry_to_lake(self) -> None:
        """What the stream worker does."""
        context = self.context()
        bus, processor = context.bus(), context.build("stream", "stream")
        bus.open()
        try:
            end = bus.end().offset
            progress = processor.open(bus)
            while progress.offset < end:
                progress = processor.step()
        finally:
            processor.close()
            bus.close()
