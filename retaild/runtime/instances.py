"""Standing of component instances: enabled, disabled, in quarantine; and their failures.

What people decide here outlives the daemon. Every change by a person is in the audit log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from retaild.api.errors import RetaildError
from retaild.events.cards import mask
from retaild.runtime.access.audit import record
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.component import HOSTED_KINDS, process_name
from retaild.runtime.state import Row, State

Standing = Literal["enabled", "disabled", "quarantined"]
#: What quarantined it: wrong settings, too many failures, or a person.
Cause = Literal["", "config", "failures", "person"]
HOST = "retaild"
#: Failures are kept for people for so long, in seconds.
KEEP_FAILURES = 7 * 24 * 3600.0


class WrongStandingError(RetaildError):
    key = "instance.wrong_standing"

    def __init__(self, kind: str, name: str, standing: Standing, wanted: str) -> None:
        hints = {
            "enabled": "Nothing holds it: see `retaildctl status`.",
            "disabled": f"Use `retaildctl plugin enable {kind} {name}`.",
            "quarantined": f"Use `retaildctl plugin resume {kind} {name}`.",
        }
        super().__init__(f"{process_name(kind, name)} is {standing}, not {wanted}.",
                         hint=hints[standing])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """Standing of an instance; `lines` are the last of its log when it was put into quarantine."""

    standing: Standing = "enabled"
    reason: str = ""
    by: str = ""
    since: float = 0.0
    cause: Cause = ""
    lines: tuple[str, ...] = ()

    @property
    def by_person(self) -> bool:
        return self.standing != "enabled" and self.by != HOST


@dataclass(frozen=True, slots=True)
class InstanceStore:
    """Who may start. Times are seconds since the epoch (UTC)."""

    state: State

    def held(self, kind: str, name: str) -> Held:
        row = self.state.row("SELECT * FROM instance WHERE kind = ? AND name = ?", [kind, name])
        return _held(row) if row else Held()

    def all(self) -> dict[str, Held]:
        """Process name -> standing of all that were ever held."""
        rows = self.state.rows("SELECT * FROM instance ORDER BY kind, name")
        return {process_name(row["kind"], row["name"]): _held(row) for row in rows}

    # -- what the host does ----------------------------------------------------------------------

    def failed(self, kind: str, name: str, reason: str, window: float) -> int:
        """Note a failure; how many there were within the last `window` seconds."""
        now = time.time()
        with self.state.transaction() as connection:
            connection.execute(
                "INSERT INTO instance_failure (kind, name, at, reason) VALUES (?, ?, ?, ?)",
                [kind, name, now, reason],
            )
            connection.execute("DELETE FROM instance_failure WHERE at < ?", [now - KEEP_FAILURES])
            (count,) = connection.execute(
                "SELECT count(*) FROM instance_failure WHERE kind = ? AND name = ? AND at > ?",
                [kind, name, now - window],
            ).fetchone()
        return int(count)

    def failures(self, kind: str, name: str, limit: int = 20) -> list[Row]:
        """Newest first: at, reason."""
        return self.state.rows(
            "SELECT at, reason FROM instance_failure WHERE kind = ? AND name = ? "
            "ORDER BY at DESC LIMIT ?",
            [kind, name, limit],
        )

    def put_into_quarantine(
        self, kind: str, name: str, reason: str, cause: Cause, lines: Sequence[str]
    ) -> None:
        """By the host; others hear of it by an alert."""
        self._set(kind, name, Held("quarantined", reason, HOST, time.time(), cause, tuple(lines)))
        self._alert(kind, name, reason, "error")

    # -- what people do --------------------------------------------------------------------------

    def quarantine(
        self, kind: str, name: str, who: str, via: str, reason: str = "", lines: Sequence[str] = ()
    ) -> Held:
        reason = mask(reason) or f"put there by {who}"
        held = Held("quarantined", reason, who, time.time(), "person", tuple(lines))
        self._change(kind, name, held, via)
        self._alert(kind, name, reason, "warning")
        return held

    def disable(self, kind: str, name: str, who: str, via: str, reason: str = "") -> Held:
        held = Held("disabled", mask(reason) or f"by {who}", who, time.time())
        self._change(kind, name, held, via)
        self._resolve(kind, name)
        return held

    def resume(self, kind: str, name: str, who: str, via: str) -> Held:
        """Out of quarantine. Raises WrongStandingError."""
        return self._free(kind, name, who, via, "quarantined")

    def enable(self, kind: str, name: str, who: str, via: str) -> Held:
        """What was disabled. Raises WrongStandingError."""
        return self._free(kind, name, who, via, "disabled")

    def _free(self, kind: str, name: str, who: str, via: str, wanted: Standing) -> Held:
        now = self.held(kind, name)
        if now.standing != wanted:
            raise WrongStandingError(kind, name, now.standing, wanted)
        held = Held("enabled", "", who, time.time())
        self._change(kind, name, held, via)
        with self.state.transaction() as connection:
            connection.execute(
                "DELETE FROM instance_failure WHERE kind = ? AND name = ?", [kind, name]
            )
        self._resolve(kind, name)
        return held

    def _change(self, kind: str, name: str, held: Held, via: str) -> None:
        before = self.held(kind, name)
        self._set(kind, name, held)
        what = {"enabled": "resume", "disabled": "disable", "quarantined": "quarantine"}
        record(
            self.state, held.by, f"instance.{what[held.standing]}", process_name(kind, name),
            via=via, before={"state": before.standing, "reason": before.reason},
            after={"state": held.standing, "reason": held.reason},
        )  # fmt: skip

    def _set(self, kind: str, name: str, held: Held) -> None:
        with self.state.transaction(durably=True) as connection:
            connection.execute(
                "INSERT INTO instance (kind, name, state, reason, last_lines, since, by, cause) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET "
                "state = excluded.state, reason = excluded.reason, since = excluded.since, "
                "last_lines = excluded.last_lines, by = excluded.by, cause = excluded.cause",
                [kind, name, held.standing, held.reason, json.dumps(held.lines), held.since,
                 held.by, held.cause],
            )  # fmt: skip

    def _alert(self, kind: str, name: str, reason: str, severity: Literal["error", "warning"]
               ) -> None:  # fmt: skip
        raise_alert(
            self.state, _key(kind, name), severity,
            f"{_called(kind, name)} is in quarantine: {reason}",
            source="instance",
            hint=f"When it is mended: `retaildctl plugin resume {kind} {name}`. "
            "Nothing is skipped: it goes on where it was.",
        )  # fmt: skip

    def _resolve(self, kind: str, name: str) -> None:
        resolve_alert(self.state, _key(kind, name))


def _called(kind: str, name: str) -> str:
    return "The stream processor" if kind in HOSTED_KINDS else f"{kind.capitalize()} {name}"


def _key(kind: str, name: str) -> str:
    return f"instance.{process_name(kind, name)}.quarantined"


def _held(row: Row) -> Held:
    return Held(row["state"], row["reason"], row["by"], row["since"], row["cause"],
                tuple(row["last_lines"] or ()))  # fmt: skip
