"""What people see of alerts, and what they do about them.

Every deed is told to the audit log by `note`: who asks for it writes the entry.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

from retaild.api.errors import RetaildError
from retaild.runtime.access import audit
from retaild.runtime.alerts.routing import TEST, Matcher
from retaild.runtime.state import Row, State

#: The longest silence: what nobody looks at for longer should not be raised.
LONGEST_SILENCE = 30 * 86_400.0


class UnknownAlertError(RetaildError):
    key = "alert.unknown"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"There is no open alert {number}.", hint="`retaildctl alert list` shows those open."
        )


class UnknownSilenceError(RetaildError):
    key = "silence.unknown"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"There is no silence {number} in force.",
            hint="`retaildctl alert list` shows them.",
        )


class WrongSilenceError(RetaildError):
    key = "alert.wrong_silence"

    def __init__(self) -> None:
        days = LONGEST_SILENCE / 86_400
        super().__init__(
            f"A silence ends in the future, and within {days:.0f} days.",
            hint="State how long it shall last, such as 2h.",
        )


@dataclass(frozen=True)
class AlertDesk:
    """Blocking: sqlite only. Times are seconds since the epoch (UTC); rows as in the state."""

    state: State

    def open(self) -> list[Row]:
        """Alerts that are open, or well for a moment only; the most severe first."""
        return self.state.rows(
            "SELECT * FROM alert WHERE settled IS NULL ORDER BY CASE severity WHEN 'critical' "
            "THEN 0 WHEN 'error' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END, started, id"
        )

    def history(self, limit: int = 50) -> list[Row]:
        """Alerts that are over, the latest first."""
        return self.state.rows(
            "SELECT * FROM alert WHERE settled IS NOT NULL ORDER BY settled DESC, id DESC LIMIT ?",
            [limit],
        )

    def alert(self, number: int) -> Row:
        """One, open or not, with its messages. Raises UnknownAlertError."""
        row = self.state.row("SELECT * FROM alert WHERE id = ?", [number])
        if row is None:
            raise UnknownAlertError(number)
        return {**row, "deliveries": self.deliveries(group=row["group_key"] or "-")}

    def acknowledge(self, number: int, *, by: str, now: float | None = None) -> Row:
        """Say that somebody works on it; receivers read the name `by`.

        Raises UnknownAlertError if it is not open. Nothing happens if it was acknowledged.
        """
        at = time.time() if now is None else now
        with self.state.transaction(durably=True) as connection:
            changed = connection.execute(
                "UPDATE alert SET acknowledged = ?, acknowledged_by = ? WHERE id = ? "
                "AND settled IS NULL AND acknowledged IS NULL",
                [at, by, number],
            ).rowcount
        row = self.alert(number)
        if row["settled"] is not None:
            raise UnknownAlertError(number)
        if changed:
            audit.note(row["key"], before={"acknowledged_by": None}, after={"acknowledged_by": by})
        return row

    # -- silences --------------------------------------------------------------------------------

    def silences(self, now: float | None = None) -> list[Row]:
        """Those in force, the first to end first."""
        at = time.time() if now is None else now
        return self.state.rows("SELECT * FROM alert_silence WHERE until > ? ORDER BY until", [at])

    def silence(
        self,
        matcher: Matcher,
        *,
        until: float,
        by: str,
        comment: str,
        now: float | None = None,
    ) -> int:
        """Tell nobody of what matches until then; its number. Raises WrongSilenceError."""
        from retaild.events.cards import mask  # who only looks starts without it

        at, comment = (time.time() if now is None else now), mask(comment)
        if not 0 < until - at <= LONGEST_SILENCE:
            raise WrongSilenceError()
        with self.state.transaction(durably=True) as connection:
            number = connection.execute(
                "INSERT INTO alert_silence (matcher, until, created, by, comment) "
                "VALUES (?, ?, ?, ?, ?)",
                [json.dumps(asdict(matcher)), until, at, by, comment],
            ).lastrowid
        after = {**asdict(matcher), "until": until, "comment": comment}
        audit.note(f"silence {number}", after=after)
        return int(number or 0)

    def unsilence(self, number: int, *, now: float | None = None) -> None:
        """End a silence now. Raises UnknownSilenceError."""
        at = time.time() if now is None else now
        with self.state.transaction(durably=True) as connection:
            before = connection.execute(
                "SELECT matcher, until FROM alert_silence WHERE id = ? AND until > ?", [number, at]
            ).fetchone()
            if before is None:
                raise UnknownSilenceError(number)
            connection.execute("UPDATE alert_silence SET until = ? WHERE id = ?", [at, number])
        was = {**json.loads(before["matcher"]), "until": before["until"]}
        audit.note(f"silence {number}", before=was, after={"until": at})

    # -- messages --------------------------------------------------------------------------------

    def deliveries(self, sink: str = "", group: str = "", limit: int = 50) -> list[Row]:
        """Messages to sinks, the newest first."""
        return self.state.rows(
            "SELECT * FROM alert_delivery WHERE (:sink = '' OR sink = :sink) "
            "AND (:group = '' OR group_key = :group) ORDER BY number DESC LIMIT :limit",
            {"sink": sink, "group": group, "limit": limit},
        )

    def sinks(self) -> list[Row]:
        """Per sink that was ever told anything: counts by state, the last delivery, the error."""
        return self.state.rows(
            "SELECT sink, sum(state = 'delivered') AS delivered, "
            "sum(state IN ('pending', 'sending')) AS waiting, sum(state = 'refused') AS refused, "
            "max(CASE WHEN state = 'delivered' THEN finished END) AS last_delivered, "
            "(SELECT error FROM alert_delivery AS e WHERE e.sink = d.sink AND error IS NOT NULL "
            "AND state != 'delivered' ORDER BY number DESC LIMIT 1) AS last_error "
            "FROM alert_delivery AS d GROUP BY sink ORDER BY sink"
        )

    def counts(self) -> dict[str, int]:
        """Severity -> open alerts, for metrics; tests do not count."""
        rows = self.state.rows(
            "SELECT severity, count(*) AS n FROM alert WHERE resolved IS NULL AND source != ? "
            "GROUP BY severity",
            [TEST],
        )
        return {row["severity"]: int(row["n"]) for row in rows}


def facts_of(row: Row) -> dict[str, Any]:
    """An alert as JSON and pages show it."""
    state = "resolved" if row["resolved"] is not None else "open"
    if state == "open" and row["acknowledged"] is not None:
        state = "acknowledged"
    shown = ("id", "key", "severity", "summary", "source", "hint", "started", "last", "count",
             "acknowledged", "acknowledged_by", "resolved", "escalation")  # fmt: skip
    return {
        **{name: row[name] for name in shown},
        "state": state,
        "details": row["details"] or {},
        "group": row["group_key"] or "",
    }
