"""The door: durable before 202, known to the next answer, each event once, bounded."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from retaild.events.codec import iter_events
from tests.rest.serving import AsProcess, InThread
from tests.runtime.serving.shops import NOON, Till

VIEW = {"family": "activity", "action": "view", "customer_id": "c", "product_id": "a"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InThread]:
    with InThread(tmp_path) as running:
        yield running


def log_of(server: InThread) -> list[tuple[str, dict[str, Any]]]:
    bus = server.context.bus()
    bus.open()
    entries = bus.read(0)
    bus.close()
    return [
        (one.entry.family, event)
        for one in entries
        for event in iter_events(one.entry.family, one.entry.codec, one.entry.payload)
    ]


def test_an_event_changes_the_next_recommendation(server: InThread) -> None:
    till = Till()
    server.events(*(till.sale(f"x{n}", p) for n, p in enumerate("aaabbc")))
    assert server.offered("x1") == ["a", "b", "c"]
    server.events(till.activity("x1", "basket_add", "b", time=NOON + 60))
    assert server.offered("x1") == ["a", "c"]
    assert server.offered("x2") == ["a", "b", "c"]
    server.events(till.activity("x1", "basket_remove", "b", time=1.8e9))
    assert server.offered("x1") == ["a", "b", "c"]


def test_stock_and_exclusion_count_at_once_for_everyone(server: InThread) -> None:
    till = Till()
    server.events(*(till.sale(f"x{n}", p) for n, p in enumerate("aaabbc")))
    everyone = [f"x{n}" for n in range(6)] + ["stranger"]
    for customer in everyone:
        assert server.offered(customer) == ["a", "b", "c"]
    server.events(till.stock("a", 0))
    assert {tuple(server.offered(customer)) for customer in everyone} == {("b", "c")}
    server.events(till.event("product", product_id="b", excluded=True), till.stock("a", 2))
    assert {tuple(server.offered(customer)) for customer in everyone} == {("a", "c")}
    # The last two pieces leave the shelf: no count says so, the till does.
    server.events(till.sale("x1", "a", time=1.8e9, quantity="2"))
    assert {tuple(server.offered(customer)) for customer in everyone} == {("c",)}


def test_the_same_event_counts_once(server: InThread) -> None:
    sale = Till().sale("c", "a")
    assert server.events(sale, sale) == {
        "accepted": 1, "duplicates": 1, "rejected": [], "offset": 1,
    }  # fmt: skip
    assert server.events(sale)["duplicates"] == 1
    assert len(log_of(server)) == 1
    customer = server.client.get("/api/v1/customers/c").json()
    assert (customer["receipts"], customer["revenue"]) == (1, 2.5)


def test_what_is_left_out_is_filled_in(server: InThread) -> None:
    assert server.client.post("/api/v1/events", json=VIEW).json()["accepted"] == 1
    ((family, event),) = log_of(server)
    assert family == "activity"
    assert event["source"] == "api"
    assert len(event["event_id"]) == 36


def test_wrong_rows_become_dead_letters_with_their_bytes(server: InThread) -> None:
    body = json.dumps(VIEW) + '\n{"family": "sale", "receipt_id": 1}\nno json\n'
    answer = server.client.post(
        "/api/v1/events", content=body, headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 202
    receipt = answer.json()
    assert receipt["accepted"] == 1
    assert [(r["index"], r["key"]) for r in receipt["rejected"]] == [
        (1, "event.invalid"), (2, "event.not_an_object"),
    ]  # fmt: skip
    letters = [event for family, event in log_of(server) if family == "dead_letter"]
    assert [letter["raw"] for letter in letters] == [
        b'{"family": "sale", "receipt_id": 1}', b"no json",
    ]  # fmt: skip
    assert [letter["place"] for letter in letters] == [
        "POST /api/v1/events #1", "POST /api/v1/events #2",
    ]  # fmt: skip
    assert letters[0]["target"] == "sale"


def test_a_card_number_is_found_nowhere_afterwards(server: InThread, tmp_path: Path) -> None:
    card = "5555555555554444"  # Mastercard's published test number
    receipt = server.events({**VIEW, "query": f"pay {card} now"}, {**VIEW, "session_id": card})
    assert [r["key"] for r in receipt["rejected"]] == ["event.card_number"] * 2
    assert card not in json.dumps(receipt)
    coded = base64.b64encode(card.encode()).rstrip(b"=")[:-1]
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert card.encode() not in content, path
            assert coded not in content, path


def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with InThread(tmp_path, "max_body_bytes = 2000\n") as server:
        stated = server.client.post("/api/v1/events", content=b"x" * 2001)

        def parts() -> Iterator[bytes]:
            for _ in range(30):
                yield b" " * 100

        streamed = server.client.post("/api/v1/events", content=parts())
        for answer in (stated, streamed):
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["type"] == "request.too_large"
        assert server.client.post("/api/v1/events", json=VIEW).status_code == 202


def test_a_full_queue_answers_429_and_loses_nothing(tmp_path: Path) -> None:
    with InThread(tmp_path, "queue = 2\n") as server:
        assert server.services is not None
        bus = server.services.writer._bus
        append = bus.append

        def slow(entries: Any) -> Any:
            import time

            time.sleep(0.3)
            return append(entries)

        bus.append = slow  # type: ignore[method-assign]

        def send(number: int) -> httpx.Response:
            event = {**VIEW, "event_id": f"e{number}"}
            return httpx.post(f"{server.url}/api/v1/events", json=event, timeout=20)

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(send, range(12)))
        codes = {answer.status_code for answer in answers}
        assert codes == {202, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["type"] == "events.queue_full"
        accepted = sum(answer.status_code == 202 for answer in answers)
        assert len(log_of(server)) == accepted


def test_a_lake_far_behind_answers_503(tmp_path: Path) -> None:
    with InThread(tmp_path, "max_backlog_rows = 1000\n") as server:
        assert server.services is not None
        vitals = server.services.vitals
        vitals._lake_rows = 0
        server.context.state.save_worker("stream", kind="stream", figures={"rows": 0})
        many = [{**VIEW, "event_id": f"m{n}"} for n in range(1001)]
        assert server.events(*many)["accepted"] == 1001
        answer = server.client.post("/api/v1/events", json=VIEW)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["type"] == "events.backlog"
        server.context.state.save_worker("stream", kind="stream", figures={"rows": 1001})
        vitals._lake_rows = 1001
        assert server.client.post("/api/v1/events", json=VIEW).status_code == 202


def test_a_failing_disk_answers_503_and_nothing_is_applied(server: InThread) -> None:
    assert server.services is not None
    bus = server.services.writer._bus
    append = bus.append

    def failing(_: Any) -> Any:
        raise OSError(5, "Input/output error")

    bus.append = failing  # type: ignore[method-assign]
    answer = server.client.post("/api/v1/events", json=VIEW)
    assert answer.status_code == 503
    assert answer.json()["type"] == "events.log_failed"
    assert server.client.get("/api/v1/customers/c").status_code == 404
    bus.append = append  # type: ignore[method-assign]
    assert server.events({**VIEW, "event_id": "again"})["accepted"] == 1


def test_many_senders_share_the_disk(server: InThread) -> None:
    async def send() -> list[int]:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            answers = await asyncio.gather(
                *(
                    client.post("/api/v1/events", json={**VIEW, "event_id": f"e{n}"})
                    for n in range(100)
                )
            )
            return [answer.status_code for answer in answers]

    assert set(asyncio.run(send())) == {202}
    events = log_of(server)
    assert sorted(event["event_id"] for _, event in events) == sorted(f"e{n}" for n in range(100))


def test_what_was_answered_202_survives_a_kill(tmp_path: Path) -> None:
    server = AsProcess(tmp_path)
    till = Till()
    for round_ in range(3):
        server.start()
        event = till.sale("c", f"p{round_}")
        answer = httpx.post(f"{server.url}/api/v1/events", json=event)
        server.kill()
        assert answer.status_code == 202
    server.start()
    customer = httpx.get(f"{server.url}/api/v1/customers/c").json()
    assert customer["receipts"] == 3
    assert {line["product_id"] for line in customer["history"]} == {"p0", "p1", "p2"}
    server.stop()


def test_events_of_other_processes_arrive(server: InThread) -> None:
    from tests.runtime.serving.shops import append, wait_for

    bus = server.context.bus()
    bus.open()
    append(bus, [Till().sale("elsewhere", "a")])
    wait_for(lambda: server.client.get("/api/v1/customers/elsewhere").status_code == 200, 5)
    bus.close()
