"""Kind `alert`: tells people outside what needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Protocol

from retaild.api.base import Spec

Severity = Literal["info", "warning", "error", "critical"]
#: Least first.
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")
Action = Literal["trigger", "acknowledge", "resolve"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong. `key` is the same each time the same thing goes wrong.

    Times are seconds since the epoch (UTC). `details` holds facts for people, never customer data
    or secrets.
    """

    key: str
    severity: Severity
    summary: str
    #: What raised it: "instance", "lag", "disk", "job", "model", "quality", "certificate", ...
    source: str
    started: float
    #: What to do next, in a sentence.
    hint: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    count: int = 1
    resolved: float | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """What a sink is to pass on: a group of alerts of one kind, as one message.

    `group` stays the same from trigger to resolve: the de-duplication key (PagerDuty) or alias
    (Opsgenie) of the message. `id` is unique per message and the same in every attempt to deliver
    it, so that a receiver may drop repetitions.
    """

    id: str
    group: str
    action: Action
    severity: Severity
    summary: str
    alerts: tuple[Alert, ...]
    store: str
    #: Where people see more: the address of the admin page.
    url: str = ""
    #: 0 at first; grows each time nobody acknowledged in time.
    escalation: int = 0

    def group_key(self, most: int) -> str:
        """`group` for a receiver that takes so many characters, at least 64.

        A longer one is hashed: cut, two could become one, for what tells them apart stands at
        their ends.
        """
        return self.group if len(self.group) <= most else sha256(self.group.encode()).hexdigest()


class AlertSink(Protocol):
    """Passes notifications on. The host owns the queue, retries, grouping and silences."""

    def open(self) -> None:
        """Touch the world, if there is anything to open."""

    def send(self, notification: Notification) -> None:
        """Return once the receiver has it. May block up to its own time-out, at most 20 s.

        Raises TransientError if it may work later (the host tries again, with growing pauses, as
        long as it takes), any other RetaildError if the receiver will never take this message.
        """

    def close(self) -> None:
        """Let go of everything; also after a failed `open`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSinkSpec(Spec):
    """Registers an alert sink. `build` returns an AlertSink."""
