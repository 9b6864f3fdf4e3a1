"""A test alert through the whole chain: raised, decided, delivered, resolved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from retaild.api.errors import RetaildError
from retaild.config.explain import suggestion
from retaild.config.settings import Settings
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.alerts.routing import TEST
from retaild.runtime.state import State

POLL_SECONDS = 0.1


class UnknownSinkError(RetaildError):
    key = "sink.unknown"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no alert sink {name!r}.", hint=suggestion(name, sorted(known)))


class NoSinkError(RetaildError):
    key = "alert.no_sink"

    def __init__(self) -> None:
        super().__init__(
            "No alert sink is configured: alerts are seen on the admin page only.",
            hint="Add one, such as [alert.email]; `retaildctl plugin list` names the kinds.",
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the test at one sink; `state` as in the queue, or "not decided"."""

    sink: str
    state: str
    error: str
    seconds: float


def trial(
    state: State, settings: Settings, sinks: Sequence[str] = (), timeout: float = 60.0
) -> list[Outcome]:
    """Tell each sink of a test, wait for what comes of it, and say that it is over.

    Blocks up to `timeout` seconds; a running daemon does the work. Raises UnknownSinkError,
    NoSinkError.
    """
    for name in sinks:
        if name not in settings.alert:
            raise UnknownSinkError(name, list(settings.alert))
    wanted = list(sinks) or list(settings.alert)
    if not wanted:
        raise NoSinkError()
    began = time.time()
    keys = {name: f"{TEST}.{name}.{int(began * 1000)}" for name in wanted}
    for name, key in keys.items():
        raise_alert(
            state, key, "info", f"This is a test of the alert sink {name}.",
            source=TEST, hint="Nothing is wrong; nothing is to be done.",
        )  # fmt: skip
    outcomes: dict[str, Outcome] = {}
    while len(outcomes) < len(wanted) and time.time() - began < timeout:
        for name, key in keys.items():
            found = _outcome(state, name, key, began)
            if name not in outcomes and found.state in ("delivered", "refused"):
                outcomes[name] = found
        time.sleep(POLL_SECONDS)
    for key in keys.values():
        resolve_alert(state, key)
    return [outcomes.get(n) or _outcome(state, n, key, began) for n, key in keys.items()]


def _outcome(state: State, sink: str, key: str, began: float) -> Outcome:
    row = state.row(
        "SELECT state, error, finished FROM alert_delivery WHERE sink = ? AND action = 'trigger' "
        "AND group_key = (SELECT group_key FROM alert WHERE key = ?)",
        [sink, key],
    )
    if row is None:
        return Outcome(sink, "not decided", "The daemon has not taken it up.", time.time() - began)
    return Outcome(sink, row["state"], row["error"] or "", (row["finished"] or time.time()) - began)
