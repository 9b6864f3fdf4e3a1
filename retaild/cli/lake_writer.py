"""Bringing what a command put into the log on into the lake, with or without a daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retaild.api.bus import Bus
from retaild.cli.exits import FailedError
from retaild.daemon.lock import AlreadyRunningError, daemon_lock
from retaild.host.lifecycle import closing_always
from retaild.pipeline.streams import PROGRESS_TABLE, STREAM_APP
from retaild.runtime.context import Context

PAUSE = 0.05


@contextmanager
def lake_writer(context: Context, bus: Bus) -> Iterator[LakeWriter]:
    """While a daemon runs its stream worker does the writing; without one, a thread of ours.

    Then the daemon's lock is held: one that starts meanwhile is refused, and never a second writer.
    """
    try:
        with daemon_lock(context.data):
            yield from _own(context, bus)
    except AlreadyRunningError:
        yield LakeWriter(context, bus)


def _own(context: Context, bus: Bus) -> Iterator[LakeWriter]:
    writer = OwnLakeWriter(context, bus)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


class LakeWriter:
    """Waits for the daemon's stream worker."""

    def __init__(self, context: Context, bus: Bus) -> None:
        self._context, self._bus = context, bus

    def wait(self, patience: float = 120.0) -> bool:
        """Until everything now in the log is in the lake; False if the lake makes no headway."""
        end = self._bus.end().offset
        seen, since = -1, time.monotonic()
        while (offset := self._offset()) < end:
            if offset != seen:
                seen, since = offset, time.monotonic()
            if time.monotonic() - since > patience or self._context.stop.is_set():
                return False
            time.sleep(PAUSE)
        return True

    def _offset(self) -> int:
        return self._context.lake().committed(PROGRESS_TABLE, STREAM_APP) or 0


class OwnLakeWriter(LakeWriter):
    """A stream processor of our own in a thread, beside the import."""

    def __init__(self, context: Context, bus: Bus) -> None:
        super().__init__(context, bus)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lake writer")
        self._written = -1
        self._error: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def wait(self, patience: float = 120.0) -> bool:
        arrived = super().wait(patience)
        if self._error is not None:
            raise FailedError(f"The lake could not be written: {self._error}")
        return arrived

    def _offset(self) -> int:
        if self._error is not None:
            raise FailedError(f"The lake could not be written: {self._error}")
        return self._written

    def _run(self) -> None:
        try:
            with closing_always(self._context.build("stream", "stream")) as stream:
                self._carry(stream)
        except Exception as error:
            self._error = error

    def _carry(self, stream: Any) -> None:
        progress = stream.open(self._bus)
        self._written = progress.offset
        while not self._done.is_set():
            progress = stream.step()
            self._written = progress.offset
            if progress.offset >= self._bus.end().offset:
                self._done.wait(PAUSE)
