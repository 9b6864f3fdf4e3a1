"""kill -9 in the middle of a replay, with a real daemon on the appliance's servers.

Each time a till posts events without pause and an export lies in the watched folder. What was
accepted is in silver once, all of it, and what was killed comes back without a hand.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retaild.demo import cluster

from .house import House, Till, wait_for

#: Seconds: the doors have to do without the broker for so long.
AWAY = 60.0

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, online_retail: Path, programs: None) -> Any:
    """A shop that has a sixth of the year."""
    house = House(tmp_path_factory.mktemp("house"), online_retail)
    try:
        house.start()
        house.bring_export()
        wait_for(lambda: house.count("silver.sale") >= house.lines, "the year was in silver")
        yield house
        assert house.shop.stop() == 0
    finally:
        house.shop.stop()


@pytest.fixture(scope="module")
def learned(house: House) -> House:
    """The shop when it has trained its models and published its answers.

    Without a gate nobody promotes but people; until then `refresh` has nothing to publish.
    """
    house.run_job("refresh")
    promoted = house.shop.post("/api/v1/models/recommender/promote", {"version": 1})
    assert house.finished(int(promoted["run_id"]))["state"] == "succeeded"
    run = house.run_job("publish")
    assert run["state"] == "succeeded", run["error"]
    return house


@pytest.fixture
def till(house: House, request: pytest.FixtureRequest) -> Iterator[Till]:
    """Busy already, with an export on its way besides."""
    till = house.till(request.node.name)
    house.bring_export()
    yield till
    till.ended.set()


def test_the_broker(house: House, till: Till) -> None:
    back = house.kill_server("kafka")
    till.goes_on()
    wait_for(back, "Kafka was back")
    till.goes_on()
    house.settle(till)


def test_the_keeper_of_the_broker_and_the_broker_with_it(house: House, till: Till) -> None:
    back = house.kill_worker("service.kafka")
    till.goes_on()
    wait_for(back, "Kafka's keeper was back")
    house.wait_until_whole()
    till.goes_on()
    house.settle(till)


@pytest.mark.parametrize("worker", ["ingest", "stream", "serve"])
def test_a_worker(house: House, till: Till, worker: str) -> None:
    back = house.kill_worker(worker)
    wait_for(back, f"{worker} was back")
    till.goes_on()
    house.settle(till)


def test_the_daemon(house: House, till: Till) -> None:
    before = {name: house.server(name) for name in ("kafka", "redis", "elasticsearch")}
    house.kill_daemon()
    till.goes_on()
    house.wait_until_whole()
    # Nothing of the one before is left to be in the way.
    assert all(house.server(name) not in (0, pid) for name, pid in before.items())
    till.goes_on()
    house.settle(till)


def test_redis_while_answers_are_published(learned: House, till: Till) -> None:
    house = learned
    before = slates(house)
    assert len(before) > 1000
    run_id = int(house.shop.post("/api/v1/jobs/publish/run")["run_id"])
    back = house.kill_server("redis")
    till.goes_on()
    wait_for(back, "Redis was back")
    # Whether or not the publication got through: whoever was served before is served again.
    assert slates(house).keys() >= before.keys()
    house.finished(run_id)
    run = house.run_job("publish")
    assert run["state"] == "succeeded", run["error"]
    assert slates(house).keys() >= before.keys()
    house.settle(till)


def slates(house: House) -> dict[str, Any]:
    """Customer -> how many products Redis offers them."""
    found: dict[str, Any] = {}
    with cluster.redis_client(house.shop) as client:
        keys = list(client.scan_iter(match="retaild:recommendations:id:*", count=5000))
        for key, text in zip(keys, client.mget(keys), strict=True):
            found[key] = len(json.loads(text)["recommendations"]) if text else 0
    assert all(found.values())
    return found


def test_elasticsearch_while_answers_are_published(learned: House, till: Till) -> None:
    house = learned

    def found() -> int:
        return int(house.shop.get("/api/v1/products?q=heart")["total"])

    before = cluster.published_count(house.shop)
    assert before > 1000
    run_id = int(house.shop.post("/api/v1/jobs/publish/run")["run_id"])
    back = house.kill_server("elasticsearch")
    # The server's own search answers meanwhile.
    assert found() > 0
    till.goes_on()
    wait_for(back, "Elasticsearch was back")
    # It answers a moment before it has read all of its indices.
    wait_for(lambda: offered(house) >= before, "it had everybody's answers again", 60)
    house.finished(run_id)
    run = house.run_job("publish")
    assert run["state"] == "succeeded", run["error"]
    assert offered(house) >= before
    # It knows what people mean when they type wrong; the server's own search does not.
    wait_for(
        lambda: house.shop.get("/api/v1/products?q=haert")["total"] > 0, "it searched again", 30
    )
    house.settle(till)


def offered(house: House) -> int:
    """Customers with an answer in Elasticsearch; 0 while it does not say."""
    try:
        return cluster.published_count(house.shop)
    except OSError:
        return 0


def test_a_minute_without_the_broker(house: House, till: Till) -> None:
    """The doors take everything meanwhile; silver gets it when the broker is back."""
    with kept_away(house):
        began, waiting = time.monotonic(), house.count("silver.stock")
        while time.monotonic() - began < AWAY:
            till.goes_on()
            assert house.server("kafka") == 0
        taken = len(till.accepted)
        # What was on its way to silver got there; what came later waits on this machine.
        assert house.count("silver.stock") - waiting < taken / 2
    house.wait_until_whole()
    till.goes_on()
    house.settle(till)
    print(f"{taken} events accepted without the broker, one batch took {till.longest:.2f} s")
    assert till.longest < 15


@contextmanager
def kept_away(house: House) -> Iterator[None]:
    """No broker: the old one is killed, and somebody has the controller's port of the next."""
    port = cluster.settings_of(house.shop).service["kafka"].settings["controller_port"]
    back = house.kill_server("kafka")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_for(lambda: _bound(squatter, port), "the port was free", 5)
        squatter.listen()
        yield
    wait_for(back, "Kafka was back")


def _bound(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
