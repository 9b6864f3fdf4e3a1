"""A clock that tests move, alerts, the engine, and receivers that remember what they heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retaild.api.alert import Notification, Severity
from retaild.config.settings import Settings
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.alerts.engine import AlertEngine
from retaild.runtime.alerts.queue import DeliveryQueue
from retaild.runtime.component.alert import Postman
from retaild.runtime.state import State

START = 1_900_000_000.0


@dataclass
class Receiver:
    """A sink whose receiver drops what it knows by id, as the real ones do by their key."""

    heard: list[Notification] = field(default_factory=list)
    #: Raised instead of hearing, if it is set.
    fault: Callable[[Notification], Exception | None] = lambda _message: None
    attempts: int = 0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def send(self, notification: Notification) -> None:
        self.attempts += 1
        fault = self.fault(notification)
        if fault is not None:
            raise fault
        if notification.id not in {message.id for message in self.heard}:
            self.heard.append(notification)

    def said(self) -> list[tuple[str, str]]:
        return [(message.action, message.summary) for message in self.heard]

    def open_groups(self) -> dict[str, Notification]:
        """What the receiver believes to be going on."""
        groups: dict[str, Notification] = {}
        for message in self.heard:
            if message.action == "resolve":
                groups.pop(message.group, None)
            elif message.action == "trigger" or message.group in groups:
                groups[message.group] = message
        return groups


class Bench:
    """`settings` is the document; sinks are those of `alert`, each with a Receiver."""

    def __init__(self, root: Path, **settings: Any) -> None:
        settings.setdefault("alert", {"pager": {}})
        self.now = START
        self.path = root / "state.db"
        self.settings = Settings.model_validate(settings)
        self.receivers = {name: Receiver() for name in self.settings.alert}
        self.restart()

    @property
    def pager(self) -> Receiver:
        return self.receivers["pager"]

    def restart(self) -> None:
        """As after a kill: nothing is known but the state."""
        self.state = State(self.path)
        self.engine = AlertEngine(self.state, self.settings)
        self.postmen = {}
        for name, receiver in self.receivers.items():
            queue = DeliveryQueue(self.state, name, lambda: self.now)
            queue.recover()
            self.postmen[name] = Postman(receiver, queue)

    def reconfigure(self, **settings: Any) -> None:
        self.settings = Settings.model_validate({"alert": {"pager": {}}, **settings})
        self.receivers = {n: self.receivers.get(n, Receiver()) for n in self.settings.alert}
        self.restart()

    def go(self, seconds: float = 0.0, step: float = 2.0) -> None:
        """Let time pass, with the daemon and the sinks at work."""
        until = self.now + seconds
        while True:
            self.engine.step(self.now)
            for postman in self.postmen.values():
                postman.round()
            if self.now >= until:
                return
            self.now = min(until, self.now + step)

    def wrong(
        self,
        key: str,
        severity: Severity = "error",
        summary: str = "",
        source: str = "",
        **details: str,
    ) -> None:
        raise_alert(
            self.state, key, severity, summary or f"{key} is wrong.", details=details,
            source=source or key.partition(".")[0], hint="Mend it.", now=self.now,
        )  # fmt: skip

    def well(self, key: str) -> None:
        resolve_alert(self.state, key, now=self.now)
