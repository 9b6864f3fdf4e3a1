"""A sink's queue: oldest first, and within a group never one before the one it follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retaild.api.alert import Notification
from retaild.runtime.alerts.messages import from_json
from retaild.runtime.state import State

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 900.0


def pause_after(attempts: int) -> float:
    """Seconds until the next attempt after so many: 5, 10, 20, ... 900."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 10)))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way; `attempts` counts this one."""

    number: int
    attempts: int
    notification: Notification


@dataclass(frozen=True)
class DeliveryQueue:
    """Of one sink, used by its one process. Every call is durable."""

    state: State
    sink: str
    clock: Callable[[], float] = time.time

    def recover(self) -> int:
        """After a process was killed while it sent: try again, after the pause that is due."""
        now = self.clock()
        left = self.state.rows(
            "SELECT number, attempts FROM alert_delivery WHERE sink = ? AND state = 'sending'",
            [self.sink],
        )
        for row in left:
            self._set(row["number"], "pending", due=now + pause_after(row["attempts"]))
        return len(left)

    def claim(self) -> Delivery | None:
        """The next that is due, now marked as being sent."""
        now = self.clock()
        # What is due later than any pause was written before the clock was set back.
        row = self.state.row(
            "SELECT number, attempts, notification FROM alert_delivery AS d WHERE sink = ? "
            "AND state = 'pending' AND (due <= ? OR due > ?) AND NOT EXISTS ("
            "SELECT 1 FROM alert_delivery AS e WHERE e.sink = d.sink AND e.number < d.number "
            "AND e.state IN ('pending', 'sending') AND e.group_key = d.group_key) "
            "ORDER BY number LIMIT 1",
            [self.sink, now, now + 2 * LONGEST_PAUSE],
        )
        if row is None:
            return None
        with self.state.transaction(durably=True) as connection:
            # Read again: the daemon may have brought it up to date meanwhile.
            current = connection.execute(
                "UPDATE alert_delivery SET state = 'sending', attempts = attempts + 1 "
                "WHERE number = ? AND state = 'pending' RETURNING attempts, notification",
                [row["number"]],
            ).fetchone()
        if current is None:
            return None
        return Delivery(row["number"], current["attempts"], from_json(current["notification"]))

    def delivered(self, delivery: Delivery) -> None:
        self._set(delivery.number, "delivered", finished=self.clock(), error=None)

    def refused(self, delivery: Delivery, reason: str) -> None:
        """The receiver will never take it."""
        self._set(delivery.number, "refused", finished=self.clock(), error=reason)

    def postpone(self, delivery: Delivery, reason: str) -> float:
        """It may work later; when that is."""
        due = self.clock() + pause_after(delivery.attempts)
        self._set(delivery.number, "pending", due=due, error=reason)
        return due

    def postpone_all(self, due: float) -> None:
        """The receiver is away: nothing is tried before `due`, and then the oldest first."""
        self._write(
            "UPDATE alert_delivery SET due = ? WHERE sink = ? AND state = 'pending'",
            [due, self.sink],
        )

    def waiting(self) -> int:
        row = self.state.row(
            "SELECT count(*) AS n FROM alert_delivery WHERE sink = ? "
            "AND state IN ('pending', 'sending')",
            [self.sink],
        )
        return int(row["n"]) if row else 0

    def _set(self, number: int, state: str, **columns: Any) -> None:
        names = "".join(f", {name} = ?" for name in columns)
        self._write(
            f"UPDATE alert_delivery SET state = ?{names} WHERE number = ?",
            [state, *columns.values(), number],
        )

    def _write(self, sql: str, values: Sequence[Any]) -> None:
        with self.state.transaction(durably=True) as connection:
            connection.execute(sql, values)
