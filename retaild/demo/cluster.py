"""The demo on the appliance's engines: their software, and what is checked of them."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from retaild.config.settings import Settings

if TYPE_CHECKING:
    from retaild.demo.shop import Shop


def install(shop: Shop, settings: Settings, tell: Callable[[str], None]) -> None:
    """Fetch what the configured services and engines need; what is there already stays."""
    from retaild.host.registry import PluginRegistry
    from retaild.runtime.services.overview import Services
    from retaild.runtime.services.software import install as fetch

    services = Services(settings, shop.data, PluginRegistry.load(shop.data))
    for wanted in services.needed().values():
        for software in wanted:
            fetch(software, services.software_dir, tell)


def running(shop: Shop, settings: Settings) -> bool:
    """Whether every configured service answers."""
    from retaild.runtime.state import State

    rows = {row["name"]: row["state"] for row in State(shop.data.state_db).workers()}
    return all(rows.get(f"service.{name}") == "running" for name in settings.service)


Outcome = tuple[bool, str]


def checks(shop: Shop) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """What only this profile can show."""
    choice = shop.choice
    yield "every service answers", lambda: _services(shop)
    if choice.has("kafka"):
        yield "the log is in Kafka, every line of it", lambda: _log(shop)
    if choice.has("redis"):
        yield "Redis has everyone's recommendations", lambda: _redis(shop)
        yield "Redis has everyone's features", lambda: _features(shop)
    if choice.has("elasticsearch"):
        yield "Elasticsearch finds what is typed wrong", lambda: _search(shop)
        yield "Elasticsearch has everyone's recommendations", lambda: published(shop)
        yield "Elasticsearch finds on the pricing page, too", lambda: _proposals(shop)
    if choice.has("mllib"):
        yield "MLlib's model is in MLflow", lambda: _mllib(shop)
    if choice.has("hive"):
        yield "the Metastore knows the lake's tables", lambda: _metastore(shop)
    if choice.has("nifi"):
        yield "NiFi brought the assumed costs", lambda: _brought(shop, "nifi", "silver.product")
    if choice.has("flume"):
        yield "Flume brought the assumed stock", lambda: _brought(shop, "flume", "silver.stock")


def _services(shop: Shop) -> Outcome:
    from retaild.runtime.state import State

    rows = [r for r in State(shop.data.state_db).workers() if r["kind"] == "service"]
    states = {row["name"].removeprefix("service."): row["state"] for row in rows}
    restarts = sum(row["restarts"] or 0 for row in rows)
    said = ", ".join(f"{name} {state}" for name, state in sorted(states.items()))
    return bool(states) and set(states.values()) == {"running"}, f"{said}; {restarts} restarts"


def _log(shop: Shop) -> Outcome:
    from retaild.demo.stages import LINES
    from retaild.runtime.context import offline_context

    bus = offline_context(shop.config, shop.data.root).bus()
    bus.open()
    try:
        end = bus.end()
    finally:
        bus.close()
    return end.rows >= LINES, f"{end.rows:,} rows in {end.offset:,} records"


def _redis(shop: Shop) -> Outcome:
    """As many as the server answers for, a slate for one of them, and not for ever."""
    client = redis_client(shop)
    with client:
        published = json.loads(str(client.get("retaild:recommendations:published")))
        key = str(client.srandmember("retaild:recommendations:ids"))
        slate = json.loads(str(client.get(f"retaild:recommendations:id:{key}")))
        hours = int(client.ttl(f"retaild:recommendations:id:{key}")) / 3600
    customers = _customers(shop)
    found = [item["product_id"] for item in slate["recommendations"]]
    whole = published["records"] >= customers - 1 and bool(found) and 0 < hours <= 72
    said = f"{published['records']:,} of {customers:,} customers, for {hours:.1f} h"
    return whole, f"{said}; {key}: {', '.join(found[:3])} ..."


def _features(shop: Shop) -> Outcome:
    """Feast's keys are bytes that end with the project's name; ours begin with a prefix."""
    client, found, lasting = redis_client(shop, decode=False), 0, 0
    with client:
        for key in client.scan_iter(count=5000):
            if not key.startswith(b"retaild:"):
                found += key.endswith(b"retaild")
                lasting += client.ttl(key) < 0
    customers = _customers(shop)
    return found >= customers and not lasting, f"{found:,} entities, {lasting} without an end"


def redis_client(shop: Shop, decode: bool = True) -> Any:
    import redis

    own = settings_of(shop).target["redis"].settings
    return redis.Redis(port=own["port"], password=_password(shop, "redis"), decode_responses=decode)


def settings_of(shop: Shop) -> Settings:
    from retaild.config.settings import load_settings

    return load_settings(shop.config, shop.data.root)


def _password(shop: Shop, service: str) -> str:
    from retaild.api.service import password_file

    return password_file(shop.data.root / "service" / service).read_text("utf-8").strip()


def _customers(shop: Shop) -> int:
    return int(shop.get("/api/v1/status")["figures"]["customers"])


def _search(shop: Shop) -> Outcome:
    """Its own index answers while Elasticsearch is slow: people type again, so does this."""
    for _ in range(4):
        answer = shop.get("/api/v1/products?q=haert+hangin")
        if answer["total"]:
            break
        time.sleep(3)
    names = [product["name"] for product in answer["products"][:2]]
    return answer["total"] > 0, f"'haert hangin': {answer['total']} products, {'; '.join(names)}"


def _proposals(shop: Shop) -> Outcome:
    """The words of a proposal's product with two letters of the longest one changed about."""
    (proposal,) = shop.get("/api/v1/price-proposals?limit=1")["proposals"]
    word = max(proposal["name"].split(), key=len)
    typed = quote(word[:2] + word[3] + word[2] + word[4:])
    ids: list[str] = []
    for _ in range(4):
        answer = shop.get(f"/api/v1/price-proposals?q={typed}&limit=500")
        ids = [one["product_id"] for one in answer["proposals"]]
        if ids:
            break
        time.sleep(3)
    shown = proposal["product_id"] in str(shop.get(f"/pricing?q={typed}"))
    found = proposal["product_id"] in ids and shown
    return found, f"{typed!r}: {len(ids)} proposals, {proposal['name']} among them"


def _mllib(shop: Shop) -> Outcome:
    """Trained beside the other, judged by the same gate."""
    models = {model["name"]: model for model in shop.get("/api/v1/models")["models"]}
    model = models["mllib"]
    newest, metric = model["versions"][0], model["primary_metric"]
    baselines = ", ".join(
        f"{name} {values[metric]:.4f}" for name, values in model["baselines"].items()
    )
    value = float(newest["metrics"][metric])
    said = f"version {newest['version']}, {newest['role'] or 'no role'}, {metric} {value:.4f}"
    return value > 0, f"{said} ({baselines})"


def published(shop: Shop) -> Outcome:
    customers, count = _customers(shop), published_count(shop)
    return count >= customers - 1, f"{count:,} of {customers:,} customers"


def published_count(shop: Shop) -> int:
    """Counted by Elasticsearch itself, under the name that others read. Raises OSError."""
    login = base64.b64encode(f"retaild:{_password(shop, 'elasticsearch')}".encode()).decode()
    url = settings_of(shop).target["elasticsearch"].settings["url"]
    request = urllib.request.Request(
        f"{url}/retaild-recommendations/_count", headers={"Authorization": f"Basic {login}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(json.load(answer)["count"])


def _metastore(shop: Shop) -> Outcome:
    """It looks for new tables every some seconds."""
    for _ in range(20):
        own = dict(figures(shop))["hive"]
        tables = {key.removeprefix("tables_"): int(value) for key, value in own.items()
                  if key.startswith("tables_")}  # fmt: skip
        if {"silver", "gold"} <= set(tables):
            break
        time.sleep(1)
    return {"silver", "gold"} <= set(tables), ", ".join(f"{n} in {k}" for k, n in tables.items())


def _brought(shop: Shop, name: str, table: str) -> Outcome:
    """The file was put nowhere else: what is in the table came by it."""
    from retaild.api.lake import Lake
    from retaild.demo.stages import row_count

    left = [path.name for path in shop.dropbox(name).iterdir() if path.suffix == ".csv"]
    rows = row_count(Lake(shop.data.lake), table)
    return rows > 0 and not left, f"{rows:,} rows; left in its folder: {left or 'nothing'}"


def figures(shop: Shop) -> list[tuple[str, dict[str, Any]]]:
    """(service, its newest figures)."""
    from retaild.runtime.state import State

    return [
        (row["name"].removeprefix("service."), dict(row["figures"] or {}))
        for row in State(shop.data.state_db).workers()
        if row["kind"] == "service"
    ]
