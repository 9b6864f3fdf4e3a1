"""Which parts of the appliance the demo runs, and the settings that say so.

Each server can be off: what it carried falls back to the embedded part. Some are off unless asked
for. Nothing here starts anything.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retaild.api.errors import RetaildError
from retaild.config.toml_text import dump

if TYPE_CHECKING:
    from retaild.demo.shop import Shop

#: Engines that may carry the log to the lake.
ENGINES = ("spark", "flink", "embedded")
#: Those that read the log from a topic.
_READ_KAFKA = ("spark", "flink")
#: Parts that the demo has, and may do without: servers of the profile, and MLlib's model.
USUAL = ("kafka", "redis", "elasticsearch", "mllib")
#: Servers that it has not, and may have: where files come in, and who knows the lake by name.
EXTRA = ("hive", "nifi", "flume")
#: Where fetched servers are kept for the next demo; RETAILD_SOFTWARE names another place.
SOFTWARE = Path.home() / ".cache" / "retaild" / "software"
#: Server -> setting -> the port that it usually has.
_PORTS: dict[str, dict[str, int]] = {
    "kafka": {"port": 9092, "controller_port": 9093},
    "redis": {"port": 6379},
    "elasticsearch": {"port": 9200, "transport_port": 9300},
    "hive": {"port": 9083},
    "nifi": {"port": 8090},
    "flume": {},
    "flink": {"port": 8081, "rpc_port": 6123},
}
#: Topic that the Flume agent fills.
FLUME_TOPIC = "demo.stock"


class ChoiceError(RetaildError):
    key = "demo.choice"


@dataclass(frozen=True, slots=True)
class Choice:
    """`without`: of USUAL; `extra`: of EXTRA. Raises ChoiceError for what does not fit together."""

    engine: str = "spark"
    without: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _known({self.engine}, ENGINES, "engine")
        _known(self.without, USUAL, "part to leave out")
        _known(self.extra, EXTRA, "part to add")
        if "kafka" in self.without and self.engine in _READ_KAFKA:
            raise ChoiceError(
                f"Without Kafka the engine {self.engine} has no log to read.",
                hint="Take the engine `embedded`, or leave Kafka on.",
            )
        if "kafka" in self.without and "flume" in self.extra:
            raise ChoiceError(
                "Without Kafka the Flume agent has nowhere to write to.",
                hint="Leave one of them out.",
            )

    def has(self, part: str) -> bool:
        if part == "flink":
            return self.engine == "flink"
        return part in self.extra or (part in USUAL and part not in self.without)


def _known(asked: frozenset[str] | set[str], known: tuple[str, ...], what: str) -> None:
    if unknown := sorted(asked - set(known)):
        raise ChoiceError(f"There is no {what} {unknown[0]!r}.", hint=f"Known: {', '.join(known)}.")


def names(text: str) -> frozenset[str]:
    """`redis,elasticsearch` as a set; blanks do not matter."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def settings_text(choice: Choice, shop: Shop) -> str:
    """What the demo lays over the profile: free ports, the software's place, what is off or on."""
    ports = {name: _free(usual) for name, usual in _PORTS.items() if choice.has(name)}
    document: dict[str, Any] = {
        "retaild": {"software_dir": os.environ.get("RETAILD_SOFTWARE") or str(SOFTWARE)},
        "stream": {"plugin": choice.engine},
        "service": {name: {"plugin": name, **own} for name, own in ports.items()},
    }
    for name in sorted(choice.without):
        _merge(document, _OFF.get(name, {}))
    for name in ports:
        _merge(document, _on(name, ports, shop))
    if choice.has("mllib"):
        _merge(document, {"trainer": {"mllib": {"plugin": "spark"}}})
    return dump(document)


#: A server -> what its absence means for those that would use it.
_OFF: dict[str, dict[str, Any]] = {
    "kafka": {"service": {"kafka": {"enabled": False}}, "bus": {"plugin": "embedded"}},
    "redis": {
        "service": {"redis": {"enabled": False}},
        "target": {"redis": {"enabled": False}},
        "features": {"online": "sqlite"},
    },
    "elasticsearch": {
        "service": {"elasticsearch": {"enabled": False}},
        "target": {"elasticsearch": {"enabled": False}},
    },
}


def _on(name: str, ports: dict[str, dict[str, int]], shop: Shop) -> dict[str, Any]:
    """Who must be told where the part is, and what it is for."""
    port = ports[name].get("port", 0)
    if name == "kafka":
        return {"bus": {"bootstrap_servers": f"127.0.0.1:{port}"}}
    if name == "redis":
        return {"features": {"redis": {"port": port}}, "target": {"redis": {"port": port}}}
    if name == "elasticsearch":
        return {"target": {"elasticsearch": {"url": f"http://127.0.0.1:{port}"}}}
    if name == "flink":
        return {"stream": {"url": f"http://127.0.0.1:{port}"}}
    if name == "nifi":
        flow = {"kind": "files", "directory": str(shop.dropbox("nifi")), "pattern": "products.*",
                "to": str(shop.dropbox("assumption")), "settle_seconds": 1}  # fmt: skip
        return {"service": {"nifi": {"door": shop.url, "flow": {"assumed": flow}}}}
    if name == "flume":
        broker = f"127.0.0.1:{ports['kafka']['port']}"
        agent = {"bootstrap_servers": broker, "topic": FLUME_TOPIC,
                 "folders": [str(shop.dropbox("flume"))]}  # fmt: skip
        columns = ["product_id", "on_hand", "event_time"]
        lines = {"family": "stock", "columns": columns, "fields": {name: name for name in columns}}
        source = {"plugin": "kafka", "bootstrap_servers": broker, "topic": FLUME_TOPIC,
                  "lines": lines}  # fmt: skip
        return {"service": {"flume": agent}, "source": {"flume": source}}
    return {}


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value


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
