"""Sources whose rows are refused, and sources that have gone silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from retaild.runtime.alerts.conditions.condition import Facts, Finding, Sure
from retaild.runtime.alerts.conditions.watched import Watched

HOUR = 3600.0
#: Fewer refused rows in an hour are no pattern.
LEAST = 20


@dataclass
class DeadLetters:
    """A greater share of a source's rows than is normal was refused within the last hour."""

    source: str = "dead_letters"
    _dead: Watched = field(default_factory=lambda: Watched(HOUR))
    _good: Watched = field(default_factory=lambda: Watched(HOUR))

    def look(self, facts: Facts) -> Iterator[Finding]:
        limit = facts.settings.alerts.dead_letter_share
        for row in facts.state.sources():
            name = row["instance"]
            dead = self._dead.growth(name, float(row["dead"] or 0), facts.now)
            good = self._good.growth(name, float(row["accepted"] or 0), facts.now)
            if dead < LEAST or dead / (dead + good) <= limit:
                continue
            yield Finding(
                f"dead_letters.{name}",
                "warning",
                f"{dead / (dead + good):.0%} of the rows of {name} were refused in the last hour "
                f"({dead:,.0f} rows).",
                f"See `retaildctl deadletter list --source {name}`; mend the export or the "
                "mapping, then replay.",
                {"refused": f"{dead:.0f}", "accepted": f"{good:.0f}"},
            )

    def is_sure(self, now: float) -> bool:
        return self._dead.full(now)


@dataclass
class Silence(Sure):
    """Configured sources that sent something once, and nothing for longer than they may."""

    source: str = "silent"

    def look(self, facts: Facts) -> Iterator[Finding]:
        limits = facts.settings.alerts
        for row in facts.state.sources():
            name, last = row["instance"], row["last_event"]
            hours = limits.silent_hours_of.get(name, limits.silent_hours)
            if name not in facts.settings.source or last is None or not hours:
                continue
            silent = (facts.now - last) / HOUR
            if silent > hours:
                yield Finding(
                    f"silent.{name}",
                    "warning",
                    f"Source {name} has sent nothing for {silent:,.0f} hours.",
                    f"See `retaildctl source show {name}`, and whether what feeds it still runs.",
                )
