"""Prometheus metrics. Counting costs well under a microsecond; the rest happens at a scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from retaild.api.alert import SEVERITIES
from retaild.runtime.alerts.desk import AlertDesk

if TYPE_CHECKING:
    from retaild.runtime.serving.services import Services

#: Upper bounds in seconds.
BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip


class Timing:
    """A histogram of one kind of request; one thread only."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Request timings by (method, route, status), and what the services know of themselves."""

    media_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, services: Services) -> None:
        self._services = services
        self._timings: dict[tuple[str, str, int], Timing] = {}

    def timing(self, method: str, route: str, status: int) -> Timing:
        key = (method, route, status)
        found = self._timings.get(key)
        if found is None:
            found = self._timings[key] = Timing()
        return found

    def render(self) -> bytes:
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return generate_latest(registry)

    def collect(self) -> Iterator[Any]:
        yield self._requests()
        yield from self._events()
        yield from self._gauges()
        yield from alert_families(AlertDesk(self._services.context.state))

    def _requests(self) -> Any:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(
            "retaild_http_request_seconds",
            "Time from the request's arrival to its answer.",
            labels=["method", "route", "status"],
        )
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        for (method, route, status), timing in list(self._timings.items()):
            buckets = list(zip(bounds, accumulate(timing.counts), strict=True))
            family.add_metric([method, route, str(status)], buckets, timing.total)
        return family

    def _events(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        kinds = {
            "accepted": "Events made durable.",
            "duplicates": "Events known already by their id.",
            "dead": "Elements refused and kept as dead letters.",
            "refused_cards": "Elements refused because they held a card number.",
        }
        for kind, text in kinds.items():
            family = CounterMetricFamily(f"retaild_events_{kind}", text, labels=["source"])
            for source, door in self._services.vitals.doors.items():
                family.add_metric([source], getattr(door.totals, kind))
            yield family

    def _gauges(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        services = self._services
        engine, progress = services.engine, services.background.progress
        values = {
            "ready": ("1 when the server has caught up with the log.", float(progress.ready)),
            "lag_entries": ("Log entries not applied yet.", progress.lag_rows),
            "backlog_rows": ("Rows of the log not in the lake.", services.vitals.backlog()),
            "model_version": ("Champion that answers; 0: none.", engine.version or 0),
            "price_model_version": ("Price model in service.", services.prices.version or 0),
            "customers": ("Known customers.", len(engine.facts.customers)),
            "products": ("Known products.", len(engine.index)),
            "answers_ready": ("Slates ranked ahead.", len(engine.answers)),
            "slates_ranked": ("Slates ranked since the start.", engine.ranked),
            "requests_waiting": ("Requests waiting for the disk.", services.writer.waiting),
            "snapshot_time_seconds": ("When the snapshot in use was made.", progress.base_at),
            "personal_seconds": (
                "From the last model or snapshot until everyone was ranked; -1: not yet.",
                -1.0 if progress.personal_seconds is None else progress.personal_seconds,
            ),
        }
        for name, (text, value) in values.items():
            family = GaugeMetricFamily(f"retaild_{name}", text)
            family.add_metric([], float(value))
            yield family


def alert_families(desk: AlertDesk) -> Iterator[Any]:
    """Open alerts by severity; messages by sink and state."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily("retaild_alerts_open", "Open alerts.", labels=["severity"])
    counts = desk.counts()
    for severity in SEVERITIES:
        family.add_metric([severity], counts.get(severity, 0))
    yield family
    family = GaugeMetricFamily(
        "retaild_alert_messages", "Messages kept, by what became of them.", labels=["sink", "state"]
    )
    for row in desk.sinks():
        for state in ("delivered", "waiting", "refused"):
            family.add_metric([row["sink"], state], row[state])
    yield family
