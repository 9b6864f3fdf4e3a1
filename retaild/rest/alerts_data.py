"""Alerts for routes and pages: the desk, in threads; who acts is the caller."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from retaild.runtime.access.caller import named
from retaild.runtime.alerts.desk import AlertDesk, facts_of
from retaild.runtime.alerts.routing import Matcher
from retaild.runtime.context import Context
from retaild.runtime.state import Row


@dataclass
class AlertsData:
    """Lives in the event loop. Times are seconds since the epoch (UTC)."""

    desk: AlertDesk
    #: Names of the configured sinks.
    configured: tuple[str, ...] = ()

    async def alerts(self, history: int = 0) -> list[dict[str, Any]]:
        """Those open, the most severe first; or the last `history` that are over."""
        rows = await asyncio.to_thread(
            (lambda: self.desk.history(history)) if history else self.desk.open
        )
        return [facts_of(row) for row in rows]

    async def alert(self, number: int) -> dict[str, Any]:
        """One with its `messages`. Raises UnknownAlertError."""
        row = await asyncio.to_thread(self.desk.alert, number)
        return {**facts_of(row), "messages": [_message(item) for item in row["deliveries"]]}

    async def acknowledge(self, number: int) -> dict[str, Any]:
        """Raises UnknownAlertError."""
        by = named("anyone on this machine")
        return facts_of(await asyncio.to_thread(lambda: self.desk.acknowledge(number, by=by)))

    async def silences(self) -> list[dict[str, Any]]:
        return [_silence(row) for row in await asyncio.to_thread(self.desk.silences)]

    async def silence(
        self, key: str, source: str, severity: str, seconds: float, comment: str
    ) -> int:
        """Its number. Raises WrongSilenceError."""
        by, now = named("anyone on this machine"), time.time()
        return await asyncio.to_thread(
            lambda: self.desk.silence(
                Matcher(key, source, severity), until=now + seconds, by=by, comment=comment, now=now
            )
        )

    async def unsilence(self, number: int) -> None:
        """Raises UnknownSilenceError."""
        await asyncio.to_thread(self.desk.unsilence, number)

    async def sinks(self) -> list[dict[str, Any]]:
        """Configured sinks, and others that were told of alerts once."""
        rows = {row["sink"]: row for row in await asyncio.to_thread(self.desk.sinks)}
        nothing = {"delivered": 0, "waiting": 0, "refused": 0, "last_delivered": None,
                   "last_error": None}  # fmt: skip
        names = sorted({*self.configured, *rows})
        return [
            {**nothing, **rows.get(n, {}), "sink": n, "configured": n in self.configured}
            for n in names
        ]

    async def messages(self, sink: str = "", limit: int = 50) -> list[dict[str, Any]]:
        """The newest first."""
        rows = await asyncio.to_thread(lambda: self.desk.deliveries(sink=sink, limit=limit))
        return [_message(row) for row in rows]


def _message(row: Row) -> dict[str, Any]:
    message = row["notification"]
    names = ("id", "sink", "action", "state", "attempts", "created", "due", "finished", "error")
    return {
        **{name: row[name] for name in names},
        "group": row["group_key"],
        "severity": message["severity"],
        "summary": message["summary"],
        "escalation": message["escalation"],
    }


def _silence(row: Row) -> dict[str, Any]:
    return {**{n: row[n] for n in ("id", "until", "created", "by", "comment")}, **row["matcher"]}


def alerts_data(context: Context) -> AlertsData:
    return AlertsData(AlertDesk(context.state), tuple(context.settings.alert))
