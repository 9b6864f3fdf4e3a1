"""What a backup of a year costs and does to answers; whether a restored shop answers the same.

    python -m benchmarks.backup DIR      DIR: of a finished `retaildctl demo --once --data DIR`

Prints JSON: seconds and bytes of a first and a second backup, of an archive, of verifying and
restoring, p50 and p99 of recommendations without and during backups (milliseconds), and how many
of the compared answers differ between the shop and its restored copy (must be 0).
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from retaild.api.lake import Lake
from retaild.demo.shop import Shop
from retaild.runtime.state import State

CUSTOMERS = 200
PRODUCTS = 100


def main(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="retaild-backup-", dir=root.parent) as folder:
        place, port = Path(folder), _port(root)
        shop = Shop(root, port)
        try:
            _start(shop)
            customers, products = _sample(shop)
            found["quiet_ms"] = _latency(shop, customers, seconds=6)
            found["first"] = _create(shop, place / "dest")
            found["second"] = _create(shop, place / "dest")
            with _Backups(shop, place / "load"):
                found["during_backups_ms"] = _latency(shop, customers, seconds=10)
            found["archive"] = _create(shop, place / "a.tar.gz")
            backup = found["second"]["path"]
            before = _answers(shop, customers, products)
        finally:
            shop.stop()
        found["verify_seconds"] = _timed("backup", "verify", backup)
        found["verify_deep_seconds"] = _timed("backup", "verify", "--deep", backup)
        copy = Shop(place / "copy", port)
        copy.root.mkdir()
        shutil.copyfile(shop.config, copy.config)
        found["restore_seconds"] = _timed("backup", "restore", backup, "--data", copy.data.root)
        try:
            _start(copy)
            after = _answers(copy, customers, products)
        finally:
            copy.stop()
    found["compared"] = len(before)
    found["differing"] = sorted(key for key in before if before[key] != after[key])
    return found


def _port(root: Path) -> int:
    import tomllib

    return int(tomllib.loads((root / "retaild.toml").read_text())["api"]["port"])


def _start(shop: Shop) -> None:
    shop.start()
    until = time.monotonic() + 300
    while time.monotonic() < until:
        shop.check_alive()
        if shop.answers("/health/live"):
            figures = shop.get("/api/v1/status")["figures"]
            if figures["answers_ready"] >= figures["customers"] > 0:
                return
        time.sleep(0.2)
    raise TimeoutError("the shop did not get ready")


def _sample(shop: Shop) -> tuple[list[str], list[str]]:
    """Every so manieth customer and product of the lake."""
    dataset = Lake(shop.data.lake).dataset("silver.sale")
    rows = dataset.to_table(columns=["customer_id", "product_id"])
    customers = sorted(filter(None, rows["customer_id"].unique().to_pylist()))
    with State(shop.data.state_db).transaction() as connection:
        query = "SELECT DISTINCT product_id FROM proposal ORDER BY 1"
        products = [row[0] for row in connection.execute(query)]
    return customers[:: max(1, len(customers) // CUSTOMERS)], products[:PRODUCTS]


def _answers(shop: Shop, customers: list[str], products: list[str]) -> dict[str, Any]:
    """Slates without the time of answering, prices, rows and sums of silver."""
    found: dict[str, Any] = {}
    for customer in customers:
        slate = shop.get(f"/api/v1/customers/{customer}/recommendations?count=10")
        found[f"slate {customer}"] = [
            (r["product_id"], r["score"]) for r in slate["recommendations"]
        ]
    for product in products:
        price = shop.get(f"/api/v1/prices/{product}")
        found[f"price {product}"] = price["price"]
    lake = Lake(shop.data.lake)
    for name in (name for name in lake.names() if name.startswith("silver.")):
        found[name] = lake.table(name).count()
    amounts = lake.dataset("silver.sale").to_table(columns=["amount"])["amount"]
    found["sum"] = str(sum(amounts.to_pylist()))
    return found


def _latency(shop: Shop, customers: list[str], seconds: float) -> dict[str, float]:
    """One connection, 50 requests a second, as a shop with a queue would have."""
    took, until, number = [], time.monotonic() + seconds, 0
    while time.monotonic() < until:
        customer = customers[number % len(customers)]
        url = f"{shop.url}/api/v1/customers/{customer}/recommendations?count=10"
        began = time.perf_counter()
        with urllib.request.urlopen(url) as answer:
            answer.read()
        took.append((time.perf_counter() - began) * 1000)
        number += 1
        time.sleep(0.02)
    cuts = statistics.quantiles(took, n=100)
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "requests": len(took)}


def _ctl(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "retaild.cli", *map(str, words), "--json"],
        # As in a terminal of its own: where sessions are scheduled as groups, ours is another.
        capture_output=True, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    return done.stdout


def _create(shop: Shop, place: Path) -> dict[str, Any]:
    made = json.loads(_ctl("backup", "create", place, "-c", shop.config, "-d", shop.data.root))
    size = made["path"] if Path(made["path"]).is_file() else None
    return {
        "path": made["path"], "seconds": made["seconds"], "bytes": made["bytes"],
        "linked_bytes": made["linked_bytes"], "files": made["files"],
        "archive_bytes": Path(size).stat().st_size if size else None,
    }  # fmt: skip


def _timed(*words: object) -> float:
    began = time.perf_counter()
    _ctl(*words)
    return round(time.perf_counter() - began, 2)


class _Backups(threading.Thread):
    """Full backups, one after the other, each into a place of its own."""

    def __init__(self, shop: Shop, place: Path) -> None:
        super().__init__(daemon=True)
        self._shop, self._place, self._stop_now = shop, place, threading.Event()

    def run(self) -> None:
        number = 0
        while not self._stop_now.is_set():
            _create(self._shop, self._place / str(number))
            number += 1

    def __enter__(self) -> _Backups:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_now.set()
        self.join()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).absolute()), indent=1))
