"""A source to test with, and a process that reads until it is killed."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from retaild.api import BuildContext, SourceBatch

from retaild_mqtt.config import MqttConfig
from retaild_mqtt.source import MqttSource

ROUTE = {
    "topic": "shop/+/visitors/+",
    "family": "external",
    "fields": {
        "topic": {"constant": "visitors"},
        "subject": {"topic": 4},
        "store": {"topic": 2},
        "event_time": "time",
        "value": "count.in",
    },
}
RECEIPTS = {
    "topic": "till/+/receipts",
    "family": "sale",
    "each": "lines",
    "fields": {
        "receipt_id": "number",
        "event_time": "time",
        "product_id": "article",
        "quantity": "pieces",
        "unit_price": "price",
    },
}
BATCH = 100


def source(port: int, **settings: Any) -> MqttSource:
    given = {"host": "127.0.0.1", "port": port, "timeout_seconds": 5, "routes": [ROUTE, RECEIPTS]}
    config = MqttConfig.model_validate({**given, **settings})
    context = BuildContext("counters", Path("state"), Path("lake"), "Europe/Berlin", "EUR")
    return MqttSource(config, context)


def visitor(number: int) -> tuple[str, bytes]:
    told = {"time": "2026-01-05T09:00:00Z", "count": {"in": number}}
    return "shop/north/visitors/door", json.dumps(told).encode()


def next_batch(source: MqttSource, patience: float = 5.0) -> SourceBatch | None:
    """A poll does not wait; a test does."""
    end = time.monotonic() + patience
    while (batch := source.poll()) is None and time.monotonic() < end:
        time.sleep(0.01)
    return batch


def mend(events: Path) -> None:
    """Let go of a line that a kill cut off: the position is of before it."""
    if events.exists():
        content = events.read_bytes()
        os.truncate(events, content.rfind(b"\n") + 1)


def keep_reading(port: int, folder: Path) -> None:
    """As the host does: a batch and its position on the disk, then `confirmed`."""
    mend(folder / "events")
    reader = source(port, batch_messages=BATCH)
    saved = folder / "position"
    reader.open(json.loads(saved.read_text()) if saved.exists() else None)
    while True:
        batch = reader.poll()
        if batch is None:
            time.sleep(0.005)
            continue
        lines = [json.dumps([e["event_id"], e["value"]]) for e in batch.events.to_pylist()]
        with (folder / "events").open("a") as file:
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        (folder / "position.new").write_text(json.dumps(batch.position))
        (folder / "position.new").replace(saved)
        reader.confirmed(batch.position)


if __name__ == "__main__":
    keep_reading(int(sys.argv[1]), Path(sys.argv[2]))
