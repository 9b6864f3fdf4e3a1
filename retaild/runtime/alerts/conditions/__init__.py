"""What the daemon looks for: every condition is looked at, and its alerts opened and resolved."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from retaild.api.alert import SEVERITIES
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.alerts.conditions.condition import Condition, Facts, Finding
from retaild.runtime.alerts.conditions.resources import Certificate, Disk
from retaild.runtime.alerts.conditions.sources import DeadLetters, Silence
from retaild.runtime.alerts.conditions.work import FailedJobs, Models, Quality
from retaild.runtime.alerts.conditions.workers import Lag, Restarts
from retaild.runtime.state import Row, State

__all__ = ["Conditions", "Facts", "Finding"]

_log = logging.getLogger(__name__)

#: An open alert's words are brought up to date so often (seconds).
REFRESH_SECONDS = 600.0


def all_conditions() -> list[Condition]:
    return [Restarts(), Lag(), Disk(), FailedJobs(), Models(), Quality(), Certificate(),
            DeadLetters(), Silence()]  # fmt: skip


class Conditions:
    """`look(now)` at all of them; some milliseconds, standard library only. `now`: UTC seconds."""

    def __init__(
        self,
        state: State,
        data: DataDir,
        settings: Settings,
        conditions: Sequence[Condition] | None = None,
    ) -> None:
        self._state, self._data, self._settings = state, data, settings
        self._conditions = all_conditions() if conditions is None else list(conditions)

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    def look(self, now: float) -> None:
        facts = Facts(self._state, self._data, self._settings, now)
        open_rows = self._state.rows("SELECT * FROM alert WHERE resolved IS NULL")
        for condition in self._conditions:
            try:
                self._judge(condition, facts, open_rows)
            except Exception:  # one that fails must not hide the others
                _log.exception("looking for %s", condition.source)

    def _judge(self, condition: Condition, facts: Facts, rows: Sequence[Row]) -> None:
        found = {finding.key: finding for finding in condition.look(facts)}
        mine = {r["key"]: r for r in rows if r["key"].partition(".")[0] == condition.source}
        for key, finding in found.items():
            if _is_news(finding, mine.get(key), facts.now):
                raise_alert(
                    self._state, key, finding.severity, finding.summary, now=facts.now,
                    source=condition.source, hint=finding.hint, details=finding.details,
                )  # fmt: skip
        if condition.is_sure(facts.now):
            for key in mine.keys() - found.keys():
                resolve_alert(self._state, key, now=facts.now)


def _is_news(finding: Finding, row: Row | None, now: float) -> bool:
    if row is None:
        return True
    worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(row["severity"])
    stale = finding.summary != row["summary"] and now - row["last"] >= REFRESH_SECONDS
    return worse or stale
