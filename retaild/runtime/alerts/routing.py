"""Which sink is told of which alert, and what is silenced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from retaild.api.alert import SEVERITIES, Severity
from retaild.config.sections import AlertRoute
from retaild.config.settings import Settings

Row = Mapping[str, Any]

#: Source of the alerts of `retaildctl alert test`: they go to the sink in their key
#: ("test.<sink>.<number>"), at once.
TEST = "test"


@dataclass(frozen=True, slots=True)
class Route:
    """What one sink is told."""

    sink: str
    min_severity: Severity = "warning"
    sources: frozenset[str] = frozenset()
    escalation: int = 0

    def wants(self, row: Row) -> bool:
        """Whether the alert in `row` is for this sink."""
        if row["source"] == TEST:
            return bool(row["key"].rpartition(".")[0] == f"{TEST}.{self.sink}")
        if any(row["key"].startswith(prefix) for prefix in self._own()):
            return False
        severe = SEVERITIES.index(row["severity"]) >= SEVERITIES.index(self.min_severity)
        meant = not self.sources or row["source"] in self.sources
        return bool(severe and meant and row["escalation"] >= self.escalation)

    def _own(self) -> tuple[str, str]:
        """What is wrong with a sink is for the others: it cannot say so itself."""
        return f"sink.{self.sink}.", f"instance.alert.{self.sink}."


def routes_of(settings: Settings) -> list[Route]:
    """Every configured sink's, whether it works or not."""
    default = AlertRoute()
    found = ((name, settings.alerts.route.get(name, default)) for name in settings.alert)
    return [
        Route(name, route.min_severity, frozenset(route.sources), route.escalation)
        for name, route in found
    ]


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a silence is about. Empty fields match everything; a severity matches up to itself."""

    key: str = ""
    source: str = ""
    severity: str = ""

    def matches(self, row: Row) -> bool:
        """`key` is a prefix of whole parts: "instance.source" is not "instance.sourcery"."""
        whole = row["key"] == self.key or row["key"].startswith(f"{self.key}.")
        if self.key and not whole:
            return False
        if self.source and row["source"] != self.source:
            return False
        return not self.severity or (
            SEVERITIES.index(row["severity"]) <= SEVERITIES.index(self.severity)
        )


def silenced(row: Row, silences: Iterable[Matcher]) -> bool:
    """Tests are never silent: somebody waits for them."""
    return row["source"] != TEST and any(matcher.matches(row) for matcher in silences)


def base_of(row: Row, parts: int) -> str:
    """What alerts of one message have in common: source and the first parts of the key."""
    if row["source"] == TEST:
        return str(row["key"])
    return ".".join((row["source"], *row["key"].split(".")[:parts]))
