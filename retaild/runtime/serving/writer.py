"""Appending to the log for many requests at once: they share one confirmation of the disk."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from retaild.api.bus import Bus, Entry, LogEnd
from retaild.api.errors import RetaildError
from retaild.runtime.serving.errors import BusyError, LogFailedError

_log = logging.getLogger(__name__)
#: What goes into one append at most.
MAX_ROWS = 20_000
MAX_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class _Request:
    entries: Sequence[Entry]
    rows: int
    done: asyncio.Future[LogEnd]


class LogWriter:
    """One thread that appends. `limit` requests may wait; the next gets BusyError.

    `append` is for the event loop's thread. The bus must be this writer's own: a reader of the same
    object would wait for the disk too.
    """

    def __init__(self, bus: Bus, limit: int) -> None:
        self._bus = bus
        self._limit = limit
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._waiting = 0
        self._waiting_rows = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """Requests whose events are not durable yet."""
        return self._waiting

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._bus.open()
        self._thread.start()

    def stop(self) -> None:
        """Append what waits, then end the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(timeout=10)
        self._bus.close()

    async def append(self, entries: Sequence[Entry]) -> LogEnd:
        """Return when the entries are durable. Raises BusyError, LogFailedError."""
        assert self._loop is not None
        if self._waiting >= self._limit:
            raise BusyError(self._waiting_rows)
        rows = sum(entry.rows for entry in entries)
        request = _Request(entries, rows, self._loop.create_future())
        self._waiting += 1
        self._waiting_rows += rows
        self._queue.put(request)
        try:
            # A client that goes away does not take its events back.
            return await asyncio.shield(request.done)
        finally:
            self._waiting -= 1
            self._waiting_rows -= rows

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            requests, ended = self._gather(first)
            self._append(requests)
            if ended:
                return

    def _gather(self, first: _Request) -> tuple[list[_Request], bool]:
        """All that waits, up to one append's limits; True if the end was asked for."""
        requests, rows = [first], first.rows
        size = sum(len(entry.payload) for entry in first.entries)
        while rows < MAX_ROWS and size < MAX_BYTES:
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                break
            if request is None:
                return requests, True
            requests.append(request)
            rows += request.rows
            size += sum(len(entry.payload) for entry in request.entries)
        return requests, False

    def _append(self, requests: list[_Request]) -> None:
        assert self._loop is not None
        try:
            end = self._bus.append(merged([e for r in requests for e in r.entries]))
        except RetaildError as error:
            self._loop.call_soon_threadsafe(_fail, requests, error)
        except Exception as error:
            _log.exception("the log could not be written")
            self._loop.call_soon_threadsafe(_fail, requests, LogFailedError(str(error)))
        else:
            self._loop.call_soon_threadsafe(_resolve, requests, end)


def merged(entries: Sequence[Entry]) -> list[Entry]:
    """JSON entries of one family as one; order within a family stays."""
    families: dict[str, list[Entry]] = {}
    for entry in entries:
        families.setdefault(entry.family, []).append(entry)
    return [
        same[0]
        if len(same) == 1
        else Entry(family, "json", sum(e.rows for e in same), b"\n".join(e.payload for e in same))
        for family, same in families.items()
    ]


def _resolve(requests: list[_Request], end: LogEnd) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_result(end)


def _fail(requests: list[_Request], error: Exception) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(error)
