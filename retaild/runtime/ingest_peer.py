"""One source's process, as the ingest worker sees it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError
from retaild.runtime.component.channel import PROTOCOL, Channel, Frame, FrameError, LostError
from retaild.runtime.ingest_append import Taken
from retaild.runtime.ingest_frames import MAX_READ_AHEAD

_log = logging.getLogger(__name__)

#: Seconds that a new connection has to say who it is.
HELLO_SECONDS = 5.0


class RefusedHelloError(FrameError):
    key = "ingest.hello"

    def __init__(self, reason: str) -> None:
        RetaildError.__init__(
            self, f"The ingest worker does not take this process's events: {reason}.",
            hint="It is tried again. See `retaildctl logs ingest` if it stays so.",
        )  # fmt: skip


class TooManyBatchesError(FrameError):
    key = "ingest.credit"

    def __init__(self, credit: int) -> None:
        super().__init__(f"more than {credit} batches without waiting for their acknowledgement")


@dataclass
class Peer:
    """A connection. `instance` is empty until it has said hello."""

    channel: Channel
    pid: int
    since: float = field(default_factory=time.monotonic)
    instance: str = ""
    credit: int = 0
    waiting: deque[Frame] = field(default_factory=deque)
    #: Batches that were sent and not acknowledged yet, those in `waiting` among them.
    open: int = 0
    taken: Taken = field(default_factory=Taken)
    doing: str = "connected"
    told_to_wait: bool = False
    gone: bool = False

    def take(self, frames: list[Frame]) -> None:
        """Raises FrameError for anything but a batch that it has credit for."""
        for index, frame in enumerate(frames):
            try:
                if frame.kind != "batch":
                    raise FrameError(f"a frame of kind {frame.kind[:40]!r}")
                if self.open >= self.credit:
                    raise TooManyBatchesError(self.credit)
            except FrameError:
                for unread in frames[index:]:
                    unread.close()
                raise
            self.open += 1
            self.waiting.append(frame)

    def hello(self, frame: Frame) -> str:
        """Who it says it is. Raises RefusedHelloError."""
        head = frame.head
        frame.close()
        if frame.kind != "hello" or head.get("protocol") != PROTOCOL:
            raise RefusedHelloError(
                f"it speaks protocol {str(head.get('protocol'))[:20]}, the worker {PROTOCOL}; "
                "restart the worker that is of an older version"
            )
        name, ahead = head.get("instance"), head.get("read_ahead")
        if not isinstance(name, str) or type(ahead) is not int or head.get("pid") != self.pid:
            raise RefusedHelloError("its hello has no name, or another process's id")
        self.credit = 1 + max(0, min(ahead, MAX_READ_AHEAD))
        return name

    def welcome(self, instance: str, position: Mapping[str, Any] | None) -> None:
        self.instance = instance
        self._say({"kind": "welcome", "position": position, "credit": self.credit})

    def acknowledge(self, number: int, taken: Taken, doing: str) -> None:
        self.open -= 1
        self.taken += taken
        self.doing, self.told_to_wait = doing, False
        self._say({"kind": "ack", "number": number, "accepted": taken.accepted,
                   "dead": taken.dead, "refused_cards": taken.refused_cards})  # fmt: skip

    def wait(self, why: str) -> None:
        """Tell it, once, why it gets no acknowledgement."""
        self.doing = why
        if not self.told_to_wait:
            self.told_to_wait = True
            self._say({"kind": "wait", "why": why})

    def refuse(self, error: RetaildError) -> None:
        with suppress(LostError):
            self.channel.send({"kind": "error", "key": error.key, "message": error.message,
                               "hint": error.hint})  # fmt: skip

    def _say(self, head: Mapping[str, Any]) -> None:
        """So little at a time that only one who never reads cannot be told."""
        try:
            self.channel.send(head)
        except LostError:
            self.gone = True

    def close(self) -> None:
        self.gone = True
        while self.waiting:
            self.waiting.popleft().close()
        self.channel.close()
