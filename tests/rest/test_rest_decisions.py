"""What people decide through REST: prices, dead letters, jobs."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rest.serving import InThread
from tests.runtime.serving.shops import NOON, Till


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InThread]:
    with InThread(tmp_path) as running:
        till = Till()
        running.events(*(till.sale(f"x{n}", p, NOON + n) for n, p in enumerate("aabbc")))
        yield running


def point(price: float) -> dict[str, Any]:
    return {
        "price": price, "units": 10.0, "units_low": 8.0, "units_high": 12.0,
        "revenue": 10 * price, "margin": 5 * price,
    }  # fmt: skip


def open_proposals(server: InThread) -> None:
    demand = {
        "elasticity": -1.5, "standard_error": 0.1, "low": -1.7, "high": -1.3, "base_units": 10.0,
        "base_price": 2.5, "category": "X", "category_elasticity": -1.4, "weeks": 20, "prices": 3,
    }  # fmt: skip
    rows = [
        {
            "id": f"proposal-{product}", "product_id": product, "created": time.time(),
            "current_price": "2.50", "proposed_price": price,
            "payload": {
                "name": f"P {product}", "category": "X", "currency": "GBP",
                "current": point(2.5), "proposed": point(float(price)), "demand": demand,
                "reason": "It sells better.", "binding": [], "cost_source": "assumption",
            },
        }
        for product, price in (("a", "1.99"), ("b", "2.99"))
    ]  # fmt: skip
    server.context.state.replace_open_proposals(rows)


def test_an_approved_price_is_in_force_and_in_the_ledger_at_once(server: InThread) -> None:
    open_proposals(server)
    listed = server.client.get("/api/v1/price-proposals?sort=price").json()
    assert listed["total"] == 2
    assert server.client.get("/api/v1/price-proposals?q=p%20b").json()["total"] == 1
    path = "/api/v1/price-proposals/proposal-a"
    before = server.client.get("/api/v1/customers/x3/recommendations").json()
    answer = server.client.post(f"{path}/approve", json={"by": "Ann", "comment": "fine"})
    assert answer.status_code == 200, answer.text
    entered = answer.json()
    assert (entered["price"], entered["previous_price"], entered["reduction"]) == (1.99, 2.5, True)
    assert entered["lowest_30_days"] == 2.5
    prices = [
        {o["product_id"]: o["price"] for o in slate["recommendations"]}["a"]
        for slate in (before, server.client.get("/api/v1/customers/x3/recommendations").json())
    ]
    assert prices == [2.5, 1.99]
    ledger = server.client.get("/api/v1/prices/a/history").json()["ledger"]
    assert [(e["kind"], e["price"], e["approved_by"]) for e in ledger] == [
        ("observed", 2.5, None), ("announced", 1.99, "Ann"),
    ]  # fmt: skip
    assert server.client.get(path).json()["state"] == "approved"
    again = server.client.post(f"{path}/approve")
    assert (again.status_code, again.json()["type"]) == (409, "proposal.decided")


def test_a_rejected_price_changes_nothing(server: InThread) -> None:
    open_proposals(server)
    answer = server.client.post("/api/v1/price-proposals/proposal-b/reject", json={"by": "Bob"})
    assert answer.json()["state"] == "rejected"
    assert server.client.get("/api/v1/prices/b").json()["price"] == 2.5
    assert server.client.get("/api/v1/price-proposals?state=rejected").json()["total"] == 1


def carry(server: InThread) -> None:
    """What the stream worker does."""
    bus, processor = server.context.bus(), server.context.build("stream", "stream")
    bus.open()
    progress = processor.open(bus)
    while progress.offset < bus.end().offset:
        progress = processor.step()
    processor.close()
    bus.close()


def test_dead_letters_are_shown_and_read_again(server: InThread) -> None:
    wrong = b'{"family":"activity","action":"leap","customer_id":"c","product_id":"a"}'
    server.client.post("/api/v1/events", content=wrong)
    carry(server)
    page = server.client.get("/api/v1/dead-letters").json()
    assert (page["total"], page["reasons"], page["sources"]) == (1, {"event.invalid": 1}, ["api"])
    (letter,) = page["dead_letters"]
    assert "action" in letter["reason"]
    detail = server.client.get(f"/api/v1/dead-letters/{letter['event_id']}").json()
    assert base64.b64decode(detail["raw"]) == wrong
    body = {"event_ids": [letter["event_id"]]}
    replayed = server.client.post("/api/v1/dead-letters/replay", json=body).json()
    assert (replayed["accepted"], replayed["refused"]) == (0, 1)
    assert server.client.get("/api/v1/dead-letters?source=tills").json()["total"] == 0


def test_a_job_needs_the_daemon(server: InThread) -> None:
    answer = server.client.post("/api/v1/jobs/gold/run")
    assert (answer.status_code, answer.json()["type"]) == (503, "daemon.not_running")
    assert "retaildctl run" in answer.json()["hint"]
