"""Commands about the standing of component instances: resume, enable, disable, quarantine."""

from __future__ import annotations

from collections.abc import Callable

from retaild.api.errors import RetaildError
from retaild.config.settings import Settings
from retaild.runtime.component import HELD_KINDS, process_name
from retaild.runtime.control import Message
from retaild.runtime.instances import Held, InstanceStore
from retaild.runtime.supervisor import Supervisor

ACTIONS = ("resume", "enable", "disable", "quarantine")


class UnknownInstanceError(RetaildError):
    key = "instance.unknown"

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(
            f"There is no {kind} {name!r} that can be held back.",
            hint=f"Known: {', '.join(known) or 'none is configured'}.",
        )


def require(settings: Settings, kind: str, name: str) -> None:
    """Raises UnknownInstanceError unless it is configured."""
    known = [process_name(k, n) for k, n, _ in settings.instances() if k in HELD_KINDS]
    if process_name(kind, name) not in known:
        raise UnknownInstanceError(kind, name, known)


def change(
    store: InstanceStore, action: str, kind: str, name: str, who: str, via: str, reason: str = ""
) -> Held:
    """Write it down, with an audit entry. Raises WrongStandingError."""
    if action in ("resume", "enable"):
        free = store.resume if action == "resume" else store.enable
        return free(kind, name, who, via)
    hold = store.disable if action == "disable" else store.quarantine
    return hold(kind, name, who, via, reason)


def command(
    action: str, store: InstanceStore, settings: Callable[[], Settings], supervisor: Supervisor
) -> Callable[[Message], Message]:
    """The control command `<action>-instance`: kind, name, reason, by, via."""

    def act(message: Message) -> Message:
        kind, name = str(message["kind"]), str(message["name"])
        require(settings(), kind, name)
        who, via = str(message.get("by") or "system"), str(message.get("via") or "command")
        held = change(store, action, kind, name, who, via, str(message.get("reason") or ""))
        supervisor.look_again(process_name(kind, name), f"{action} was asked for")
        return {"kind": kind, "name": name, "state": held.standing, "reason": held.reason}

    return act
