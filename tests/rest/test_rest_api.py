"""The documented routes, their errors, and who may ask."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.rest.serving import InThread
from tests.runtime.serving.shops import NOON, Till

ODD_IDS = ["a/b", "a b", "ünï©ode", "..", "a%2Fb", "a?b#c", "x" * 200, '"quoted"', "<b>", "-1"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    with InThread(tmp_path_factory.mktemp("api")) as running:
        till = Till()
        running.events(*(till.sale(f"x{n}", p, NOON + n) for n, p in enumerate("aaabbc")))
        running.events(
            till.price("a", "1.80", NOON),
            till.event("product", product_id="a", category="CUPS", brand="Best", unit_cost="0.5"),
            till.activity("x1", "basket_add", "b", NOON + 60),
        )
        running.events(*(till.sale(who, who) for who in ODD_IDS))
        yield running


@pytest.fixture(scope="module")
def document(server: InThread) -> dict[str, Any]:
    found: dict[str, Any] = server.client.get("/api/v1/openapi.json").json()
    return found


#: Route -> a request that it answers well, and the status.
ASKED: dict[tuple[str, str], tuple[str, Any, int]] = {
    ("GET", "/api/v1/customers"): ("/api/v1/customers?q=x", None, 200),
    ("GET", "/api/v1/customers/{customer_id}"): ("/api/v1/customers/x1", None, 200),
    ("GET", "/api/v1/customers/{customer_id}/recommendations"): (
        "/api/v1/customers/x1/recommendations", None, 200,
    ),
    ("POST", "/api/v1/recommendations/basket"): (
        "/api/v1/recommendations/basket", {"items": [{"product_id": "a"}]}, 200,
    ),
    ("GET", "/api/v1/products"): ("/api/v1/products?q=p", None, 200),
    ("GET", "/api/v1/categories"): ("/api/v1/categories", None, 200),
    ("GET", "/api/v1/products/{product_id}"): ("/api/v1/products/a", None, 200),
    ("GET", "/api/v1/products/{product_id}/similar"): ("/api/v1/products/a/similar", None, 200),
    ("GET", "/api/v1/prices/{product_id}"): ("/api/v1/prices/a", None, 200),
    ("GET", "/api/v1/prices/{product_id}/history"): ("/api/v1/prices/a/history", None, 200),
    ("GET", "/api/v1/prices/{product_id}/what-if"): ("/api/v1/prices/a/what-if?price=2", None, 404),
    ("GET", "/api/v1/prices/{product_id}/curve"): ("/api/v1/prices/a/curve", None, 404),
    ("GET", "/api/v1/price-proposals"): ("/api/v1/price-proposals", None, 200),
    ("GET", "/api/v1/price-proposals/{proposal_id}"): ("/api/v1/price-proposals/p", None, 404),
    ("POST", "/api/v1/price-proposals/{proposal_id}/approve"): (
        "/api/v1/price-proposals/p/approve", {}, 404,
    ),
    ("POST", "/api/v1/price-proposals/{proposal_id}/reject"): (
        "/api/v1/price-proposals/p/reject", {"by": "me"}, 404,
    ),
    ("POST", "/api/v1/events"): (
        "/api/v1/events",
        {"family": "activity", "action": "search", "customer_id": "x1", "query": "cups"}, 202,
    ),
    ("GET", "/api/v1/status"): ("/api/v1/status", None, 200),
    ("GET", "/api/v1/workers"): ("/api/v1/workers", None, 200),
    ("GET", "/api/v1/plugins"): ("/api/v1/plugins", None, 200),
    ("GET", "/api/v1/sources"): ("/api/v1/sources", None, 200),
    ("GET", "/api/v1/quality"): ("/api/v1/quality", None, 200),
    ("GET", "/api/v1/lake/tables"): ("/api/v1/lake/tables", None, 200),
    ("GET", "/api/v1/logs"): ("/api/v1/logs", None, 200),
    ("GET", "/api/v1/jobs"): ("/api/v1/jobs", None, 200),
    ("GET", "/api/v1/jobs/runs"): ("/api/v1/jobs/runs", None, 200),
    ("GET", "/api/v1/jobs/runs/{run_id}"): ("/api/v1/jobs/runs/7", None, 404),
    ("GET", "/api/v1/jobs/runs/{run_id}/log"): ("/api/v1/jobs/runs/7/log", None, 404),
    ("POST", "/api/v1/jobs/{name}/run"): ("/api/v1/jobs/gold/run", {}, 503),
    ("GET", "/api/v1/models"): ("/api/v1/models", None, 200),
    ("POST", "/api/v1/models/{name}/promote"): (
        "/api/v1/models/recommender/promote", {"version": 1}, 404,
    ),
    ("POST", "/api/v1/models/{name}/rollback"): ("/api/v1/models/recommender/rollback", {}, 404),
    ("GET", "/api/v1/dead-letters"): ("/api/v1/dead-letters", None, 200),
    ("POST", "/api/v1/dead-letters/replay"): (
        "/api/v1/dead-letters/replay", {"event_ids": ["x"]}, 404,
    ),
    ("GET", "/api/v1/dead-letters/{event_id}"): ("/api/v1/dead-letters/x", None, 404),
    ("GET", "/api/v1/doctor"): ("/api/v1/doctor", None, 200),
    ("POST", "/api/v1/doctor/fix"): ("/api/v1/doctor/fix", {"id": "disk"}, 404),
    ("GET", "/api/v1/alerts"): ("/api/v1/alerts", None, 200),
    ("GET", "/api/v1/alerts/messages"): ("/api/v1/alerts/messages", None, 200),
    ("GET", "/api/v1/alerts/sinks"): ("/api/v1/alerts/sinks", None, 200),
    ("GET", "/api/v1/alerts/{number}"): ("/api/v1/alerts/7", None, 404),
    ("POST", "/api/v1/alerts/{number}/acknowledge"): ("/api/v1/alerts/7/acknowledge", {}, 404),
    ("GET", "/api/v1/alerts/silences"): ("/api/v1/alerts/silences", None, 200),
    ("POST", "/api/v1/alerts/silences"): ("/api/v1/alerts/silences", {}, 422),
    ("DELETE", "/api/v1/alerts/silences/{number}"): ("/api/v1/alerts/silences/7", None, 404),
    ("GET", "/api/v1/config"): ("/api/v1/config", None, 404),
    ("GET", "/api/v1/config/history"): ("/api/v1/config/history", None, 200),
    ("GET", "/api/v1/config/diff"): ("/api/v1/config/diff", None, 503),
    ("GET", "/api/v1/config/reload"): ("/api/v1/config/reload", None, 503),
    ("POST", "/api/v1/config/reload"): ("/api/v1/config/reload", None, 503),
    ("GET", "/api/v1/backups"): ("/api/v1/backups", None, 200),
    ("POST", "/api/v1/backups"): ("/api/v1/backups", None, 503),
    ("POST", "/api/v1/backups/{name}/verify"): ("/api/v1/backups/b/verify", None, 400),
    ("GET", "/api/v1/services"): ("/api/v1/services", None, 200),
    ("GET", "/api/v1/instances"): ("/api/v1/instances", None, 200),
    **{
        ("POST", f"/api/v1/instances/{{kind}}/{{name}}/{action}"): (
            f"/api/v1/instances/source/tills/{action}", {}, 503,
        )
        for action in ("resume", "restart", "enable", "disable", "quarantine")
    },
    ("POST", "/api/v1/debug-bundle"): ("/api/v1/debug-bundle", None, 200),
    ("GET", "/api/v1/stream"): ("", None, 200),
    ("GET", "/api/v1/me"): ("/api/v1/me", None, 200),
    ("GET", "/api/v1/audit"): ("/api/v1/audit", None, 200),
    ("GET", "/api/v1/users"): ("/api/v1/users", None, 503),
    ("POST", "/api/v1/users"): (
        "/api/v1/users", {"name": "ann", "password": "x", "roles": ["viewer"]}, 503,
    ),
    ("PATCH", "/api/v1/users/{name}"): ("/api/v1/users/ann", {"disabled": True}, 503),
    ("DELETE", "/api/v1/users/{name}"): ("/api/v1/users/ann", None, 503),
    ("GET", "/api/v1/keys"): ("/api/v1/keys", None, 200),
    ("POST", "/api/v1/keys"): ("/api/v1/keys", {"name": "shop", "scopes": ["ingest"]}, 201),
    ("DELETE", "/api/v1/keys/{key_id}"): ("/api/v1/keys/none", None, 404),
    ("GET", "/api/v1/sessions"): ("/api/v1/sessions", None, 200),
    ("DELETE", "/api/v1/sessions/{session_id}"): ("/api/v1/sessions/none", None, 404),
    ("GET", "/health/live"): ("/health/live", None, 200),
    ("GET", "/health/ready"): ("/health/ready", None, 200),
    ("GET", "/metrics"): ("/metrics", None, 200),
}  # fmt: skip


def test_the_document_lists_every_route(server: InThread, document: dict[str, Any]) -> None:
    documented = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert documented == set(ASKED)


@pytest.mark.parametrize("route", [route for route in ASKED if ASKED[route][0]])
def test_answers_are_as_documented(
    server: InThread, document: dict[str, Any], route: tuple[str, str]
) -> None:
    path, body, status = ASKED[route]
    answer = server.client.request(route[0], path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"]
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) >= {"type", "title", "status", "detail", "hint"}
        assert answer.json()["status"] == status
        return
    content = document["paths"][route[1]][route[0].lower()]["responses"][str(status)].get("content")
    if content and "application/json" in content:
        model = _model(server, route)
        model.model_validate_json(answer.content, strict=True)


def _model(server: InThread, route: tuple[str, str]) -> Any:
    import asyncio

    from retaild.rest.app import create_api
    from retaild.rest.metrics import Metrics

    assert server.services is not None
    api: FastAPI = create_api(server.services, Metrics(server.services), asyncio.Event())
    for found in _routes(api):
        if found.path_format == route[1] and route[0] in found.methods:
            return found.response_model
    raise AssertionError(route)


def _routes(api: Any) -> Iterator[APIRoute]:
    from fastapi.routing import iter_route_contexts

    for item in iter_route_contexts(api.routes):
        if isinstance(getattr(item, "original_route", item), APIRoute):
            yield item  # type: ignore[misc]


@pytest.mark.parametrize(
    ("method", "path", "status", "key"),
    [
        ("GET", "/api/v1/nothing", 404, "http.not_found"),
        ("DELETE", "/api/v1/customers", 405, "http.method_not_allowed"),
        ("GET", "/api/v1/customers?limit=0", 422, "request.invalid"),
        ("GET", "/api/v1/customers?limit=501", 422, "request.invalid"),
        ("GET", "/api/v1/customers/x1/recommendations?count=101", 422, "request.invalid"),
        ("GET", "/api/v1/customers/x1/recommendations?count=0", 422, "request.invalid"),
        ("GET", f"/api/v1/customers/{'x' * 201}/recommendations", 422, "request.invalid"),
        ("GET", "/api/v1/customers/nobody", 404, "customer.unknown"),
        ("GET", "/api/v1/products/nothing", 404, "product.unknown"),
        ("GET", "/api/v1/prices/nothing/history", 404, "product.unknown"),
        ("GET", "/api/v1/prices/a/what-if?price=-1", 422, "request.invalid"),
        ("GET", "/api/v1/prices/a/what-if?price=nan", 422, "request.invalid"),
        ("GET", "/api/v1/jobs/runs/first", 422, "request.invalid"),
        ("GET", "/api/v1/logs?worker=../state", 404, "log.unknown"),
        ("POST", "/api/v1/events", 400, "events.unreadable"),
        ("POST", "/api/v1/recommendations/basket", 422, "request.invalid"),
    ],
)
def test_errors_are_problems(
    server: InThread, method: str, path: str, status: int, key: str
) -> None:
    answer = server.client.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (status, key)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_the_fast_lane_gives_the_same_bytes_as_the_documented_route(server: InThread) -> None:
    for customer in ["x1", "x5", "nobody", *ODD_IDS]:
        for query in ("", "?count=10", "?count=2", "?count=100"):
            coded = quote(customer, safe="").replace(".", "%2E")
            path = f"/api/v1/customers/{coded}/recommendations{query}"
            fast = server.client.get(path)
            # A request that brings its own id takes the way through FastAPI.
            slow = server.client.get(path, headers={"x-request-id": "mine"})
            assert slow.headers["x-request-id"] == "mine"
            assert fast.headers["x-request-id"] != "mine"
            assert _undated(fast) == _undated(slow)
            assert fast.headers["content-type"] == slow.headers["content-type"]


def _undated(answer: httpx.Response) -> Any:
    """The bytes but for the moment of ranking, which an answer that is not kept has anew."""
    body = answer.content
    at = body.index(b'"generated_at":"')
    return answer.status_code, body[:at], body[body.index(b",", at) :]


@pytest.mark.parametrize("who", ODD_IDS)
def test_odd_ids_are_found(server: InThread, who: str) -> None:
    customer = server.client.get(f"/api/v1/customers/{quote(who, safe='')}")
    if who in (".", ".."):  # clients resolve these before they ask
        return
    assert customer.json()["customer_id"] == who
    product = server.client.get(f"/api/v1/products/{quote(who, safe='')}").json()
    assert product["product_id"] == who
    slate = server.client.get(f"/api/v1/customers/{quote(who, safe='')}/recommendations").json()
    assert slate["customer_id"] == who


def test_a_customer_as_known(server: InThread) -> None:
    customer = server.client.get("/api/v1/customers/x1").json()
    assert [item["product_id"] for item in customer["basket"]] == ["b"]
    (line,) = customer["history"]
    assert line == {
        "time": "2026-03-02T12:00:01Z", "receipt_id": line["receipt_id"], "product_id": "a",
        "name": "P a", "quantity": 1.0, "unit_price": 2.5, "amount": 2.5,
    }  # fmt: skip
    assert customer["favourites"][0]["times_bought"] == 1


def test_search_puts_the_exact_id_first_and_then_what_sells(server: InThread) -> None:
    def found(query: str) -> list[str]:
        products = server.client.get(f"/api/v1/products?q={query}").json()["products"]
        return [product["product_id"] for product in products]

    assert found("p")[:2] == ["a", "b"]
    assert found("c")[0] == "c"
    assert found("best") == ["a"]
    assert found("best nonsense") == []
    only = server.client.get("/api/v1/products?category=CUPS").json()
    assert (only["total"], only["products"][0]["price"]) == (1, 1.8)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.x:80"])
@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/customers/x1/recommendations"])
def test_other_hosts_are_refused(server: InThread, host: str, path: str) -> None:
    answer = server.client.get(path, headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["type"] == "request.host"


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:8470", "[::1]:8470"])
def test_loopback_names_pass(server: InThread, host: str) -> None:
    assert server.client.get("/health/live", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:1"},
    ],
)
def test_other_sites_may_not_change_anything(server: InThread, headers: dict[str, str]) -> None:
    event = {"family": "activity", "action": "view", "customer_id": "csrf", "product_id": "a"}
    answer = server.client.post("/api/v1/events", json=event, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"] == "request.origin"
    assert server.client.get("/api/v1/customers/csrf").status_code == 404


def test_our_own_pages_may(server: InThread) -> None:
    event = {"family": "activity", "action": "search", "customer_id": "x1", "query": "q"}
    headers = {"origin": server.url, "sec-fetch-site": "same-origin"}
    assert server.client.post("/api/v1/events", json=event, headers=headers).status_code == 202


def test_metrics_count_requests_and_events(server: InThread) -> None:
    text = server.client.get("/metrics").text
    route = 'route="/api/v1/customers/{customer_id:path}/recommendations",status="200"'
    assert f'retaild_http_request_seconds_bucket{{le="+Inf",method="GET",{route}}}' in text
    assert 'retaild_events_accepted_total{source="api"}' in text
    assert "retaild_ready 1.0" in text
    assert "process_resident_memory_bytes" in text


def test_live_figures_come_as_events(server: InThread) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]))
    connection.request("GET", "/api/v1/stream")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    assert answer.readline() == b"event: status\n"
    assert b'"ready": true' in answer.readline()
    connection.close()


def test_the_request_id_comes_back(server: InThread) -> None:
    mine = server.client.get("/health/live", headers={"x-request-id": "abc-1"})
    assert mine.headers["x-request-id"] == "abc-1"
    forged = server.client.get("/health/live", headers={"x-request-id": "a b\tc"})
    assert forged.headers["x-request-id"] != "a b\tc"


def test_a_price_begins_and_ends_by_itself(server: InThread) -> None:
    assert server.services is not None
    now = server.services.engine.clock()
    till = Till()
    till._number = 9000
    from tests.runtime.serving.shops import moment, wait_for

    server.events(till.price("c", "0.99", now + 1.0, valid_to=moment(now + 3.0)))

    def shown() -> float:
        slate = server.client.get("/api/v1/customers/x3/recommendations?count=100").json()
        return next(
            offer["price"] for offer in slate["recommendations"] if offer["product_id"] == "c"
        )

    assert shown() == 2.5
    wait_for(lambda: shown() == 0.99, 5)
    wait_for(lambda: shown() == 2.5, 6)
