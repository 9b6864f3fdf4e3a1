"""The server follows the champion, and the shop's rules stand above any model."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

from tests.rest.serving import InThread, install
from tests.runtime.serving.shops import Till, wait_for


def version(server: InThread) -> int | None:
    answer: int | None = server.client.get("/health/ready").json()["model_version"]
    return answer


def test_champions_change_under_load_without_a_failed_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = InThread(tmp_path)
    fake = install(server, monkeypatch, tmp_path)
    with server:
        till = Till()
        server.events(*(till.sale(f"c{n}", p) for n, p in enumerate("abcdef")))
        assert version(server) is None
        seen: list[tuple[int, int | None]] = []
        over = threading.Event()

        def load(customer: str) -> None:
            with httpx.Client(base_url=server.url, timeout=20) as client:
                while not over.is_set():
                    answer = client.get(f"/api/v1/customers/{customer}/recommendations")
                    body = answer.json()
                    seen.append((answer.status_code, body["model_version"]))
                    ids = [offer["product_id"] for offer in body["recommendations"]]
                    if body["model_version"] is not None:
                        assert ids == sorted("abcdef", reverse=body["model_version"] % 2 == 0)

        threads = [threading.Thread(target=load, args=(f"c{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        for number in (1, 2, 3, 2):
            fake.crown(number)
            wait_for(lambda wanted=number: version(server) == wanted)  # type: ignore[misc]
        over.set()
        for thread in threads:
            thread.join()
        assert {code for code, _ in seen} == {200}
        assert {model for _, model in seen} >= {None, 1, 2}
        # Once everyone has heard of it, nobody gets an answer of the model before.
        for customer in ("c0", "c1", "c5", "stranger"):
            answer = server.client.get(f"/api/v1/customers/{customer}/recommendations").json()
            assert answer["model_version"] == 2
            assert "by 2" in answer["recommendations"][0]["reason"]


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = InThread(tmp_path)
    fake = install(server, monkeypatch, tmp_path)
    with server:
        fake.crown(1)
        wait_for(lambda: version(server) == 1)
        fake.crown(2)
        (tmp_path / "model-2").write_text("rubbish")
        assert server.services is not None
        progress = server.services.background.progress
        wait_for(lambda: "cannot be loaded" in progress.errors.get("model", ""))
        assert version(server) == 1
        fake.crown(3)
        wait_for(lambda: version(server) == 3)
        assert "model" not in progress.errors


def test_rules_of_the_shop_hold_whatever_the_model_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = '[recommendations]\ncount = 4\ncategory_cap = 2\nexcluded_products = ["a"]\n'
    server = InThread(tmp_path, rules + 'excluded_categories = ["SECRET"]\n')
    fake = install(server, monkeypatch, tmp_path)
    fake.crown(1)
    with server:
        till = Till()
        groups = {"a": "X", "b": "X", "c": "X", "d": "X", "e": "SECRET", "f": "Y", "g": "Y"}
        server.events(
            *(till.event("product", product_id=p, category=c) for p, c in groups.items()),
            till.stock("f", 0),
            till.activity("c", "basket_add", "b"),
        )
        # a is excluded, b in the basket, e of an excluded category, f sold out.
        assert server.offered("c", 4) == ["c", "d", "g"]
        assert server.offered("stranger", 4) == ["b", "c", "g"]  # two of X at most


def test_an_event_ranks_its_customer_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = InThread(tmp_path)
    fake = install(server, monkeypatch, tmp_path)
    fake.crown(1)
    with server:
        till = Till()
        server.events(till.sale("c", "a"))
        for views in range(5):
            answer = server.client.get("/api/v1/customers/c/recommendations").json()
            assert answer["recommendations"][0]["reason"] == f"by 1, after {views} views"
            server.events(till.activity("c", "view", "a", time=1.7e9 + views))
