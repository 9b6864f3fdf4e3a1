"""Services for the pages' tests: one that answers, one that is down, one without software."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

HOSTILE = '<script>alert("server")</script>'


@dataclass
class FakeServices:
    none: bool = False

    async def services(self) -> dict[str, Any]:
        if self.none:
            return {"services": [], "parts": [_part("bus", "embedded", "ingest", [])]}
        return {
            "services": [
                _service("kafka", "running", figures={"answers": "yes", "rows_behind": 17.0}),
                _service("redis", "backoff", error=f"Port 6379 is taken {HOSTILE}"),
                _service("search", "stopped", standing="disabled", installed=False),
            ],
            "parts": [
                _part("source", "tabular", "source.tills", [], name="tills"),
                _part(
                    "bus",
                    "kafka",
                    "ingest",
                    ["kafka"],
                    figures={"lag_rows": 1234, "rows_per_second": 0.0, "dead_letters": 7},
                ),
                _part("stream", "spark", "stream", [], figures={"lag_rows": 0}),
                _part("batch", "duckdb", "", [], last=_last("succeeded")),
                _part("trainer", "price", "", [], name="price"),
                _part(
                    "target",
                    "redis",
                    "",
                    ["redis"],
                    name="redis",
                    last=_last("succeeded", records={"recommendations": 4372, "products": 3912}),
                ),
                _part(
                    "target",
                    "search",
                    "",
                    ["search"],
                    name="search",
                    last=_last("failed", error=f"It does not answer {HOSTILE}"),
                ),
            ],
        }


def _service(
    name: str, state: str, *, standing: str = "enabled", error: str | None = None,
    installed: bool = True, figures: dict[str, float | str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    runs = state == "running"
    return {
        "name": name, "plugin": name, "summary": "a server", "state": state, "standing": standing,
        "pid": 4711 if runs else None, "since": time.time() - 7200, "restarts": 0 if runs else 3,
        "last_error": error, "listens": "broker 127.0.0.1:9092" if runs else "",
        "memory": 331.0 * 1024**2 if runs else None, "memory_mib": 600, "figures": figures or {},
        "software": [{"name": name, "version": "1", "disk_mib": 10, "installed": installed}],
        "lines": [f"FATAL {HOSTILE}"] if error else [],
    }  # fmt: skip


def _part(
    kind: str, plugin: str, process: str, services: list[str], *, name: str = "",
    figures: dict[str, float] | None = None, last: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    state = "running" if process else "in jobs"
    return {
        "part": kind, "name": name or kind, "plugin": plugin, "process": process, "state": state,
        "services": services, "figures": figures or {}, "last": last,
    }  # fmt: skip


def _last(
    state: str, error: str | None = None, records: dict[str, int] | None = None
) -> dict[str, Any]:
    return {"run_id": 41, "job": "refresh", "state": state, "at": time.time() - 600,
            "error": error, "records": records, "seconds": 5.9}  # fmt: skip
