"""The demo on the appliance's engines: their software, their ports, and what is checked of them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retaild.api.errors import RetaildError
from retaild.config.settings import Settings
from retaild.config.toml_text import dump

if TYPE_CHECKING:
    from retaild.demo.shop import Shop

#: Engines that may carry the log to the lake.
ENGINES = ("spark", "flink", "embedded")
#: Where fetched servers are kept for the next demo; RETAILD_SOFTWARE names another place.
SOFTWARE = Path.home() / ".cache" / "retaild" / "software"
#: Service -> (setting -> usual port); and who must be told of a port: section -> setting.
_PORTS: dict[str, dict[str, int]] = {
    "kafka": {"port": 9092, "controller_port": 9093},
    "redis": {"port": 6379},
    "elasticsearch": {"port": 9200, "transport_port": 9300},
}


class MissingEngineError(RetaildError):
    key = "demo.engine"

    def __init__(self, engine: str) -> None:
        super().__init__(
            f"The demo cannot run on {engine!r}.", hint=f"Known: {', '.join(ENGINES)}."
        )


def settings_text(engine: str) -> str:
    """What the demo adds to the profile: free ports, the software's place, the engine."""
    if engine not in ENGINES:
        raise MissingEngineError(engine)
    ports = {name: _free(usual) for name, usual in _PORTS.items()}
    place = os.environ.get("RETAILD_SOFTWARE") or str(SOFTWARE)
    document: dict[str, Any] = {
        "retaild": {"software_dir": place},
        "service": {name: dict(found) for name, found in ports.items()},
        "bus": {"bootstrap_servers": f"127.0.0.1:{ports['kafka']['port']}"},
        "stream": {"plugin": engine},
        "features": {"redis": {"port": ports["redis"]["port"]}},
        "target": {
            "redis": {"port": ports["redis"]["port"]},
            "elasticsearch": {"url": f"http://127.0.0.1:{ports['elasticsearch']['port']}"},
        },
    }
    if engine == "flink":
        document["service"]["flink"] = {"plugin": "flink"}
    return dump(document)


def _free(usual: dict[str, int]) -> dict[str, int]:
    """The usual ports where nobody has them, else others."""
    return {name: port if _is_free(port) else _any() for name, port in usual.items()}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _any() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install(shop: Shop, settings: Settings, tell: Callable[[str], None]) -> None:
    """Fetch what the configured services and engines need; what is there already stays."""
    from retaild.host.registry import PluginRegistry
    from retaild.runtime.services.overview import Services
    from retaild.runtime.services.software import install as fetch

    services = Services(settings, shop.data, PluginRegistry.load(shop.data))
    used = {instance.plugin for _, _, instance in settings.instances()}
    for name, spec in services.specs().items():
        for software in spec.software if name in used else ():
            fetch(software, services.software_dir, tell)


def running(shop: Shop, settings: Settings) -> bool:
    """Whether every configured service answers."""
    from retaild.runtime.state import State

    rows = {row["name"]: row["state"] for row in State(shop.data.state_db).workers()}
    return all(rows.get(f"service.{name}") == "running" for name in settings.service)


Outcome = tuple[bool, str]


def checks(shop: Shop) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """What only this profile can show."""
    yield "every service answers", lambda: _services(shop)
    yield "the log is in Kafka, every line of it", lambda: _log(shop)
    yield "Redis has everyone's recommendations", lambda: _redis(shop)
    yield "Elasticsearch finds what is typed wrong", lambda: _search(shop)


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
    """As many as the server answers for, and the same slate for one of them."""
    import redis

    from retaild.api.service import password_file
    from retaild.config.settings import load_settings

    settings = load_settings(shop.config, shop.data.root)
    own = settings.target["redis"].settings
    password = password_file(shop.data.root / "service" / "redis").read_text("utf-8")
    with redis.Redis(port=own["port"], password=password, decode_responses=True) as client:
        published = json.loads(str(client.get("retaild:recommendations:published")))
        key = str(client.srandmember("retaild:recommendations:ids"))
        slate = json.loads(str(client.get(f"retaild:recommendations:id:{key}")))
    customers = shop.get("/api/v1/status")["figures"]["customers"]
    found = [item["product_id"] for item in slate["recommendations"]]
    return (
        published["records"] >= customers - 1 and bool(found),
        f"{published['records']:,} of {customers:,} customers; {key}: {', '.join(found[:3])} ...",
    )


def _search(shop: Shop) -> Outcome:
    """Its own index answers while Elasticsearch is slow: people type again, so does this."""
    for _ in range(4):
        answer = shop.get("/api/v1/products?q=haert+hangin")
        if answer["total"]:
            break
        time.sleep(3)
    names = [product["name"] for product in answer["products"][:2]]
    return answer["total"] > 0, f"'haert hangin': {answer['total']} products, {'; '.join(names)}"
