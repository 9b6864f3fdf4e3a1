"""Decides who is told what: from the alerts in the state to messages in each sink's queue.

Every decision is made from the state and written to it in one transaction, so a killed daemon goes
on where it was: nothing is lost and nothing is said twice. Cheap while nothing is wrong.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retaild.api.alert import Action, Alert
from retaild.config.sections import AlertsSection
from retaild.config.settings import Settings
from retaild.runtime.alerts import trimming
from retaild.runtime.alerts.messages import alert_of, from_json, notification, to_json, worst_first
from retaild.runtime.alerts.routing import TEST, Matcher, Route, base_of, routes_of, silenced
from retaild.runtime.state import State

#: So many messages may wait for a sink; more groups are told of when there is room again.
MAX_WAITING = 1000
#: A time so far in the future was written before the clock was set back.
CLOCK_SLACK = 60.0

Row = dict[str, Any]


def page_address(settings: Settings) -> str:
    """Where people read more, as it stands in messages."""
    host = f"[{settings.api.host}]" if ":" in settings.api.host else settings.api.host
    scheme = "http" if settings.tls_files is None else "https"
    base = settings.api.url or f"{scheme}://{host}:{settings.api.port}"
    return f"{base.rstrip('/')}/admin/alerts"


class AlertEngine:
    """`step(now)` does all that is due; the one caller is the daemon. `now`: UTC seconds."""

    def __init__(self, state: State, settings: Settings) -> None:
        self._state = state
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Go on by other settings: sinks, routes, times."""
        self._settings = settings
        self._rules, self._routes = settings.alerts, routes_of(settings)

    def step(self, now: float) -> None:
        """One transaction if anything is open, a look otherwise."""
        busy = self._state.row(
            "SELECT 1 FROM alert WHERE settled IS NULL UNION ALL "
            "SELECT 1 FROM alert_delivery WHERE current = 1 LIMIT 1"
        )
        if busy is None:
            return
        with self._state.transaction(durably=True) as connection:
            _Step(connection, self._settings, self._rules, self._routes, now).run()

    def trim(self, now: float) -> None:
        """Forget what is over and older than is kept; call it now and then."""
        sinks = [route.sink for route in self._routes]
        trimming.trim(self._state, now, self._rules.history_days, sinks)


@dataclass
class _Step:
    """One look at everything, inside a transaction."""

    connection: sqlite3.Connection
    settings: Settings
    rules: AlertsSection
    routes: Sequence[Route]
    now: float
    active: list[Row] = field(default_factory=list)
    quiet: set[int] = field(default_factory=set)

    def run(self) -> None:
        self.active = self._rows("SELECT * FROM alert WHERE settled IS NULL ORDER BY id")
        self._settle()
        self._gather()
        silences = self._silences()
        self.quiet = {row["id"] for row in self.active if silenced(row, silences)}
        self._mark_due()
        self._escalate()
        self._tell()

    # -- the alerts ------------------------------------------------------------------------------

    def _settle(self) -> None:
        """What was well for long enough is over."""
        over = [row for row in self.active if self._is_over(row)]
        for row in over:
            self._set(row, settled=self.now)
        self.active = [row for row in self.active if row["settled"] is None]

    def _is_over(self, row: Row) -> bool:
        if row["resolved"] is None:
            return False
        wait = 0.0 if row["source"] == TEST else self.rules.resolve_after_seconds
        return self._passed(row["resolved"], wait)

    def _gather(self) -> None:
        """Give each alert a group: one of its kind that is open and that nobody took on yet."""
        open_groups: dict[str, str] = {}
        for members in self._groups().values():
            if not all(row["acknowledged"] for row in members):
                open_groups[self._base(members[0])] = members[0]["group_key"]
        for row in self.active:
            if row["group_key"] is None:
                base = self._base(row)
                group = open_groups.setdefault(base, self._new_group(base, row))
                self._set(row, group_key=group)

    def _base(self, row: Row) -> str:
        return base_of(row, self.rules.group_parts)

    def _new_group(self, base: str, row: Row) -> str:
        """Unique among all shops that tell one receiver, and short enough for each of them."""
        words = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{self.settings.retaild.store}.{base}")
        return f"retaild.{words[:150]}.{row['id']}.{int(self.now * 1000)}"

    def _groups(self) -> dict[str, list[Row]]:
        groups: dict[str, list[Row]] = {}
        for row in self.active:
            if row["group_key"] is not None:
                groups.setdefault(row["group_key"], []).append(row)
        return groups

    def _silences(self) -> list[Matcher]:
        rows = self._rows("SELECT matcher FROM alert_silence WHERE until > ?", [self.now])
        return [Matcher(**json.loads(row["matcher"])) for row in rows]

    def _mark_due(self) -> None:
        """A first message waits for others of its group; `told` says when that was over."""
        for members in self._groups().values():
            began = min(row["started"] for row in members)
            waited = self._passed(began, self.rules.group_wait_seconds)
            for row in members:
                urgent = row["severity"] == "critical" or row["source"] == TEST
                fresh = row["told"] is None and row["resolved"] is None
                if fresh and row["id"] not in self.quiet and (waited or urgent):
                    self._set(row, told=self.now)

    def _escalate(self) -> None:
        highest = max((route.escalation for route in self.routes), default=0)
        wait = self.rules.escalate_after_minutes * 60
        for row in self.active:
            waits = row["told"] is not None and row["resolved"] is None
            taken = row["acknowledged"] is not None or row["id"] in self.quiet
            if not wait or taken or not waits or row["escalation"] >= highest:
                continue
            if self._passed(row["escalated"] or row["told"], wait):
                self._set(row, escalation=row["escalation"] + 1, escalated=self.now)

    # -- the sinks -------------------------------------------------------------------------------

    def _tell(self) -> None:
        groups = self._groups()
        told: dict[tuple[str, str], Row] = {
            (row["sink"], row["group_key"]): row
            for row in self._rows("SELECT * FROM alert_delivery WHERE current = 1")
        }
        for route in self.routes:
            room = MAX_WAITING - self._waiting(route.sink)
            names = [*groups, *(g for sink, g in told if sink == route.sink and g not in groups)]
            for group in names:
                members = [row for row in groups.get(group, []) if route.wants(row)]
                current = told.get((route.sink, group))
                if current is not None:
                    self._follow(current, members)
                elif room > 0 and self._begin(route.sink, group, members):
                    room -= 1

    def _waiting(self, sink: str) -> int:
        (row,) = self._rows(
            "SELECT count(*) AS n FROM alert_delivery WHERE sink = ? "
            "AND state IN ('pending', 'sending')",
            [sink],
        )
        return int(row["n"])

    def _begin(self, sink: str, group: str, members: list[Row]) -> bool:
        """The first message of a group, if any of it is due."""
        shown = [row for row in members if row["told"] and row["id"] not in self.quiet]
        if not any(row["resolved"] is None and row["acknowledged"] is None for row in shown):
            return False
        self._send(sink, group, "trigger", shown)
        return True

    def _follow(self, current: Row, members: list[Row]) -> None:
        """What is to be said after the message `current`: taken on, changed, still so, over."""
        said = from_json(current["notification"]).alerts
        known = {alert.key for alert in said}
        shown = [r for r in members if r["key"] in known or self._is_news(r)]
        sink, group, action = current["sink"], current["group_key"], current["action"]
        if not shown:
            self._end(current, said)
        elif all(row["acknowledged"] for row in shown):
            if action != "acknowledge":
                self._send(sink, group, "acknowledge", shown)
        elif self._is_due(current, said, shown):
            self._send(sink, group, "trigger", shown, replacing=current)

    def _is_news(self, row: Row) -> bool:
        return row["told"] is not None and row["id"] not in self.quiet

    def _is_due(self, current: Row, said: Iterable[Alert], shown: list[Row]) -> bool:
        told = {(alert.key, alert.severity) for alert in said}
        is_now = {(a.key, a.severity) for a in worst_first([alert_of(row) for row in shown])}
        if told != is_now or current["action"] == "acknowledge":
            return self._passed(current["created"], self.rules.group_interval_seconds)
        if not any(row["resolved"] is None and row["id"] not in self.quiet for row in shown):
            return False
        again = self.rules.repeat_hours * 3600
        return bool(again) and self._passed(current["created"], again)

    def _end(self, current: Row, said: Iterable[Alert]) -> None:
        """Say that it is over, with when; not to a receiver that refused to hear that it began."""
        sink, group = current["sink"], current["group_key"]
        heard = self._rows(
            "SELECT 1 FROM alert_delivery WHERE sink = ? AND group_key = ? "
            "AND state IN ('pending', 'sending', 'delivered') LIMIT 1",
            [sink, group],
        )
        if not heard:
            self._no_longer_current(sink, group)
            return
        rows = self._rows("SELECT * FROM alert WHERE group_key = ? ORDER BY id", [group])
        keys = {alert.key for alert in said}
        ended = [row for row in rows if row["key"] in keys]
        alerts = [alert_of(row) for row in ended] or list(said)
        self._put(sink, group, "resolve", alerts, escalation=0)

    def _send(
        self,
        sink: str,
        group: str,
        action: Action,
        rows: Sequence[Row],
        replacing: Row | None = None,
    ) -> None:
        escalation = max(row["escalation"] for row in rows)
        by = next((row["acknowledged_by"] for row in rows if row["acknowledged_by"]), "")
        alerts = [alert_of(row) for row in rows]
        self._put(sink, group, action, alerts, escalation, by, replacing)

    def _put(
        self,
        sink: str,
        group: str,
        action: Action,
        alerts: Sequence[Alert],
        escalation: int,
        by: str = "",
        replacing: Row | None = None,
    ) -> None:
        message = notification(
            group, action, alerts, by=by, escalation=escalation,
            store=self.settings.retaild.store, url=page_address(self.settings),
        )  # fmt: skip
        unsent = replacing and replacing["state"] == "pending" and not replacing["attempts"]
        if replacing and unsent and replacing["action"] == action:
            # Nobody has it yet: it says what is so now, and the queue does not grow.
            self.connection.execute(
                "UPDATE alert_delivery SET id = ?, notification = ?, created = ? WHERE number = ?",
                [message.id, to_json(message), self.now, replacing["number"]],
            )
            return
        self._no_longer_current(sink, group)
        self.connection.execute(
            "INSERT INTO alert_delivery (id, sink, group_key, action, notification, created, due, "
            "state, current) VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
            [message.id, sink, group, action, to_json(message), self.now, self.now,
             int(action != "resolve")],
        )  # fmt: skip

    def _no_longer_current(self, sink: str, group: str) -> None:
        self.connection.execute(
            "UPDATE alert_delivery SET current = 0 WHERE sink = ? AND group_key = ? "
            "AND current = 1",
            [sink, group],
        )

    # -- plumbing --------------------------------------------------------------------------------

    def _passed(self, since: float, seconds: float) -> bool:
        """Whether so long has passed; a clock set back since then counts as long enough."""
        return self.now - since >= seconds or since - self.now > CLOCK_SLACK

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return [dict(row) for row in self.connection.execute(sql, values)]

    def _set(self, row: Row, **values: Any) -> None:
        row.update(values)
        names = ", ".join(f"{name} = :{name}" for name in values)
        bound: Mapping[str, Any] = {**values, "id": row["id"]}
        self.connection.execute(f"UPDATE alert SET {names} WHERE id = :id", bound)
