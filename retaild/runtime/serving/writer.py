"""Appending to the log for many requests at once: they share one confirmation of the disk."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from retaild.api.bus import Bus, Entry, LogEnd
from retaild.api.errors import RetaildError
from retaild.runtime.serving.errors import BusyError, LogFailedError

_log = logging.getLogger(__name__)
#: What goes into one append at most (a single request may be larger).
MAX_ROWS = 5_000
MAX_BYTES = 8 * 1024 * 1024

#: (family, event in plain form, as `iter_events` gives it)
PlainEvent = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Durable:
    """What the disk has confirmed: the entries as they are in the log, their events in plain."""

    entries: list[Entry]
    events: list[PlainEvent] = field(default_factory=list)


@dataclass(slots=True)
class _Request:
    entries: Sequence[Entry]
    events: Sequence[PlainEvent]
    rows: int
    done: asyncio.Future[LogEnd]


class LogWriter:
    """One thread that appends. `limit` requests may wait; the next gets BusyError.

    `append` is for the event loop's thread. `take` is told of everything that became durable, in
    the loop's thread, before the requests hear of it: also of events whose sender went away. The
    bus must be this writer's own: a reader of the same object would wait for the disk too.
    """

    def __init__(self, bus: Bus, limit: int, take: Callable[[Durable], Awaitable[None]]) -> None:
        self._bus = bus
        self._limit = limit
        self._take = take
        self._taking: set[asyncio.Task[None]] = set()
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

    async def append(self, entries: Sequence[Entry], events: Sequence[PlainEvent] = ()) -> LogEnd:
        """Return when the entries are durable and taken; `events` are those in them to take.

        Raises BusyError, LogFailedError, and what the bus raises for people.
        """
        assert self._loop is not None
        if self._waiting >= self._limit:
            raise BusyError(self._waiting_rows)
        rows = sum(entry.rows for entry in entries)
        request = _Request(entries, events, rows, self._loop.create_future())
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
        entries = merged([entry for request in requests for entry in request.entries])
        try:
            end = self._bus.append(entries)
        except RetaildError as error:
            self._loop.call_soon_threadsafe(_fail, requests, error)
        except Exception as error:
            _log.exception("the log could not be written")
            self._loop.call_soon_threadsafe(_fail, requests, LogFailedError(str(error)))
        else:
            events = [event for request in requests for event in request.events]
            self._loop.call_soon_threadsafe(
                self._hand_over, Durable(entries, events), requests, end
            )

    def _hand_over(self, durable: Durable, requests: list[_Request], end: LogEnd) -> None:
        task = asyncio.ensure_future(self._taken(durable, requests, end))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _taken(self, durable: Durable, requests: list[_Request], end: LogEnd) -> None:
        try:
            await self._take(durable)
        except Exception:  # durable it is: the log's tail will bring what was not taken
            _log.exception("events that are in the log could not be applied")
        for request in requests:
            if not request.done.done():
                request.done.set_result(end)


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


def _fail(requests: list[_Request], error: Exception) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(error)
