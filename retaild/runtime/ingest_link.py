"""A source's process and the ingest worker: its side of the connection."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError, TransientError
from retaild.api.source import Position, SourceBatch
from retaild.config.paths import DataDir
from retaild.runtime.component.channel import PROTOCOL, Channel, Frame, LostError, connect
from retaild.runtime.ingest_append import Taken
from retaild.runtime.ingest_frames import SOCKET, write_batch

#: Seconds for the hub to answer a hello: it may be writing another source's batch.
_ANSWER = 10.0
_PULSE = 0.2


class NoHubError(TransientError):
    key = "ingest.no_hub"

    def __init__(self) -> None:
        super().__init__(
            "The ingest worker cannot be reached.",
            hint="It is tried again. See `retaildctl worker list` and `retaildctl logs ingest`.",
        )


class RefusedError(RetaildError):
    """The hub's own words."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.key = key


@dataclass
class Link:
    """Open: the hub has said hello. `position`: where to go on; `credit`: batches to be sent."""

    channel: Channel
    position: Position | None
    credit: int
    #: What the hub said why it takes nothing for now.
    notice: str = ""
    #: Why it answered for each batch, in their order.
    _sent: deque[tuple[int, Position]] = field(default_factory=deque)
    _number: int = 0

    @property
    def open(self) -> int:
        """Batches that are not acknowledged yet."""
        return len(self._sent)

    def send(self, batch: SourceBatch, waiting: Callable[[], None]) -> None:
        """Raises LostError, RefusedError, WrongBatchError; what `waiting` raises ends its use."""
        self._number += 1
        self.credit -= 1
        frame = write_batch(batch, self._number)
        try:
            frame.send(self.channel, waiting)
        except LostError:
            self._hear_refusal()
            raise
        finally:
            frame.close()
        self._sent.append((self._number, batch.position))

    def _hear_refusal(self) -> None:
        """The connection is gone: if the hub cut it, its last word says why."""
        with suppress(LostError):
            while self.channel.wait(0.0):
                for frame in self.channel.receive():
                    self._answer(frame)

    def answers(self, seconds: float) -> Iterator[tuple[Position, Taken]]:
        """Positions that are durable now, in order; waits up to `seconds` if there is none yet.

        Raises LostError, RefusedError.
        """
        if not self.channel.wait(seconds):
            return
        for frame in self.channel.receive():
            if (answer := self._answer(frame)) is not None:
                yield answer

    def _answer(self, frame: Frame) -> tuple[Position, Taken] | None:
        head = frame.head
        frame.close()
        if frame.kind == "error":
            raise RefusedError(head["key"], head["message"], head["hint"])
        if frame.kind == "wait":
            self.notice = str(head["why"])
            return None
        if frame.kind != "ack" or not self._sent or head["number"] != self._sent[0][0]:
            raise LostError
        _, position = self._sent.popleft()
        self.credit, self.notice = self.credit + 1, ""
        return position, Taken(head["accepted"], head["dead"], head["refused_cards"])


@contextmanager
def linked(
    data: DataDir, instance: str, read_ahead: int, stopped: Callable[[], bool], seconds: float
) -> Iterator[Link]:
    """Connect, trying for up to `seconds`. Raises NoHubError, RefusedError."""
    until, pause = time.monotonic() + seconds, 0.02
    while True:
        try:
            link = _link(data, instance, read_ahead)
            break
        except (OSError, LostError):
            if time.monotonic() + pause > until or stopped():
                raise NoHubError from None
            time.sleep(pause)
            pause = min(0.5, pause * 2)
    try:
        yield link
    finally:
        link.channel.close()


def _link(data: DataDir, instance: str, read_ahead: int) -> Link:
    channel = Channel(connect(data.run, SOCKET))
    try:
        hello: dict[str, Any] = {
            "kind": "hello", "protocol": PROTOCOL, "instance": instance, "pid": os.getpid(),
            "read_ahead": read_ahead,
        }  # fmt: skip
        channel.send(hello)
        until = time.monotonic() + _ANSWER
        while (left := until - time.monotonic()) > 0:
            if channel.wait(min(left, _PULSE)) and (frames := channel.receive()):
                head = frames[0].head
                if frames[0].kind == "error":
                    raise RefusedError(head["key"], head["message"], head["hint"])
                return Link(channel, head["position"], head["credit"])
        raise LostError
    except BaseException:
        channel.close()
        raise
