"""Runs one alert sink: takes its messages from the state, hands them over, notes what came of it.

A message stays in the state until the receiver has it or refused it for good. A process that is
killed while it sends tries the same message again, with the same id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from retaild.api.alert import AlertSink
from retaild.api.errors import RetaildError, TransientError
from retaild.host.lifecycle import closing_always
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.alerts.queue import Delivery, DeliveryQueue
from retaild.runtime.component import ComponentContext

_log = logging.getLogger(__name__)

#: How often it looks for new messages (seconds): an indexed look takes microseconds.
LOOK = 1.0
#: After so many attempts in vain the other sinks are told.
ATTEMPTS_IN_VAIN = 6


def run(context: ComponentContext) -> None:
    """Work until `context.stop`. Raises what the sink's `open` raises."""
    sink: AlertSink = context.build("alert", context.instance)
    with closing_always(sink, context.name):
        sink.open()
        context.heartbeat()
        queue = DeliveryQueue(context.state, context.instance)
        postman = Postman(sink, queue, context.heartbeat)
        left = queue.recover()
        _log.info("%d messages wait, %d of them were being sent", queue.waiting(), left)
        while not context.stop.is_set():
            postman.round(context.stop.is_set)
            context.heartbeat(waiting=queue.waiting(), delivered=postman.sent)
            context.stop.wait(LOOK)


@dataclass
class Postman:
    """Sends what is due. `beat` is called before every call into the plugin."""

    sink: AlertSink
    queue: DeliveryQueue
    beat: Callable[[], None] = lambda: None
    sent: int = 0
    _complaints: set[str] | None = field(default=None)

    def round(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Send until nothing is due.

        One failure may be the message's: another one is tried. Two in a row are the receiver's:
        all wait, and the oldest goes first next time.
        """
        failures = 0
        while not stopped() and (delivery := self.queue.claim()) is not None:
            due = self._send(delivery)
            failures = 0 if due is None else failures + 1
            if due is not None and failures > 1:
                self.queue.postpone_all(due)

    def _send(self, delivery: Delivery) -> float | None:
        """None if it is done with, else when to try again."""
        try:
            self.beat()
            self.sink.send(delivery.notification)
        except TransientError as error:
            return self._later(delivery, str(error))
        except RetaildError as error:
            self.queue.refused(delivery, str(error))
            _log.error("the receiver refuses %s: %s", delivery.notification.group, error)
            self._complain("refused", f"Sink {self.queue.sink} cannot deliver a message", error)
        except Exception as error:
            # A fault of the plugin, not an answer of the receiver: the message must not be lost.
            _log.exception("sending %s", delivery.notification.group)
            return self._later(delivery, f"{type(error).__name__}: {error}")
        else:
            self.queue.delivered(delivery)
            self.sent += 1
            self._content()
        return None

    def _later(self, delivery: Delivery, reason: str) -> float:
        due = self.queue.postpone(delivery, reason)
        _log.warning("attempt %d failed: %s", delivery.attempts, reason)
        if delivery.attempts >= ATTEMPTS_IN_VAIN:
            self._complain("failing", f"Sink {self.queue.sink} does not reach its receiver", reason)
        return due

    # -- the other sinks are told -----------------------------------------------------------------

    def _complain(self, what: str, summary: str, reason: object) -> None:
        if what not in self._open_complaints():
            hint = (
                "See its address and secret in the configuration, and `retaildctl alert history`."
            )
            raise_alert(
                self.queue.state, f"sink.{self.queue.sink}.{what}", "error",
                f"{summary}: {reason}", source="alerts", hint=hint, now=self.queue.clock(),
            )  # fmt: skip
            self._open_complaints().add(what)

    def _content(self) -> None:
        for what in tuple(self._open_complaints()):
            resolve_alert(
                self.queue.state, f"sink.{self.queue.sink}.{what}", now=self.queue.clock()
            )
        self._open_complaints().clear()

    def _open_complaints(self) -> set[str]:
        """Also those of the process before this one."""
        if self._complaints is None:
            rows = self.queue.state.rows("SELECT key FROM alert WHERE resolved IS NULL")
            keys = {row["key"] for row in rows}
            found = {w for w in ("refused", "failing") if f"sink.{self.queue.sink}.{w}" in keys}
            self._complaints = found
        return self._complaints
