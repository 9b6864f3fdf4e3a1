"""The ingest worker's side of the sources' processes: it alone writes what they send to the log.

One thread: it takes what has arrived, at most one batch of each source in turn, writes them with
one append, saves the positions, acknowledges. A source that floods has its credit and no more; a
wrong frame cuts its sender off and touches nothing.
"""

from __future__ import annotations

import logging
import selectors
import socket
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from retaild.api.bus import Bus, Entry
from retaild.api.errors import TransientError
from retaild.api.source import SourceBatch
from retaild.events import arrow_schema
from retaild.events.cards import mask
from retaild.runtime.backoff import Backoff
from retaild.runtime.component import process_name
from retaild.runtime.component.channel import (
    Channel,
    Frame,
    FrameError,
    LostError,
    listen,
    peer_pid,
)
from retaild.runtime.context import WorkerContext
from retaild.runtime.ingest_append import Taken, guarded_entries
from retaild.runtime.ingest_backlog import Backlog
from retaild.runtime.ingest_frames import SOCKET, read_batch, write_batch
from retaild.runtime.ingest_peer import HELLO_SECONDS, Peer, RefusedHelloError
from retaild.runtime.ingest_record import record

_log = logging.getLogger(__name__)

#: How long the hub sleeps at most when there is nothing to do (seconds).
_PULSE = 0.2
#: Pause between two looks whether the lake has room again.
_LOOK = 0.25
#: Batches of different sources share an append up to so many bytes.
_ROUND_BYTES = 8 * 1024 * 1024
_MAX_PEERS = 256


@dataclass
class _Piece:
    """A batch that passed all checks, on its way into the log."""

    peer: Peer
    number: int
    batch: SourceBatch
    entries: list[Entry]
    taken: Taken

    @property
    def doing(self) -> str:
        return f"{mask(self.batch.label)} {self.batch.done}/{self.batch.total or '?'}"


@dataclass
class Hub:
    context: WorkerContext
    bus: Bus
    #: Rows since the start, of sources that are gone too.
    taken: Taken = field(default_factory=Taken)
    peers: deque[Peer] = field(default_factory=deque)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _pending: list[_Piece] = field(default_factory=list)
    _paused_until: float = 0.0
    _failing: bool = False

    def __post_init__(self) -> None:
        limit = self.context.settings.api.max_backlog_rows
        self._backlog = Backlog(self.bus, self.context.lake(), limit)
        self._backoff = Backoff(first=0.2, cap=5.0)

    def run(self, pulse: Callable[[], None] = lambda: None) -> None:
        """Until `context.stop`; calls `pulse` several times a second.

        Raises what the log raises, if it is not for now.
        """
        warm_up()
        listener = listen(self.context.data.run, SOCKET)
        self._selector.register(listener, selectors.EVENT_READ)
        try:
            while not self.context.stop.is_set():
                self.turn()
                pulse()
        finally:
            for peer in list(self.peers):
                self._drop(peer)
            self._selector.close()
            listener.close()

    def turn(self) -> None:
        """Take what has arrived, then serve each source once."""
        busy = time.monotonic() >= self._paused_until and (
            self._pending or any(peer.waiting for peer in self.peers)
        )
        for key, _ in self._selector.select(0 if busy else self._nap()):
            if isinstance(key.fileobj, socket.socket):
                self._accept(key.fileobj)
            else:
                self._receive(key.data)
        self._forget_silent()
        if time.monotonic() >= self._paused_until:
            self._serve()
        for peer in [peer for peer in self.peers if peer.gone]:
            self._drop(peer)

    def _nap(self) -> float:
        left = self._paused_until - time.monotonic()
        return min(_PULSE, left) if left > 0 else _PULSE

    # -- connections ---------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if len(self.peers) >= _MAX_PEERS:
            connection.close()
            return
        peer = Peer(Channel(connection), peer_pid(connection))
        self.peers.append(peer)
        self._selector.register(peer.channel, selectors.EVENT_READ, peer)

    def _receive(self, peer: Peer) -> None:
        if peer.gone:
            return
        try:
            frames = peer.channel.receive()
            if frames and not peer.instance:
                self._welcome(peer, peer.hello(frames.pop(0)))
            peer.take(frames)
        except LostError:
            # What it sent and was not acknowledged it sends again, from the saved position.
            self._drop(peer)
        except FrameError as error:
            self._cut_off(peer, error)

    def _welcome(self, peer: Peer, name: str) -> None:
        self._check_right(peer, name)
        for older in [other for other in self.peers if other.instance == name]:
            _log.info("source %s connects again (process %d)", name, peer.pid)
            self._drop(older)
        peer.welcome(name, self.context.state.source_position(name))

    def _check_right(self, peer: Peer, name: str) -> None:
        """The daemon says in the state which process is which source's. Raises FrameError."""
        row = self.context.state.row(
            "SELECT pid, state FROM worker WHERE name = ?", [process_name("source", name)]
        )
        if row is None and name not in self.context.settings.source:
            raise RefusedHelloError(f"there is no source {name[:200]!r}")
        if row is not None and row["pid"] not in (None, peer.pid) and _alive(row["pid"]):
            raise RefusedHelloError(f"source {name!r} is process {row['pid']}, not {peer.pid}")

    def _forget_silent(self) -> None:
        late = time.monotonic() - HELLO_SECONDS
        for peer in [peer for peer in self.peers if not peer.instance and peer.since < late]:
            self._drop(peer)

    def _cut_off(self, peer: Peer, error: FrameError) -> None:
        name = peer.instance or f"process {peer.pid}"
        text = mask(str(error))
        _log.error("source %s is cut off: %s", name, text)
        if peer.instance:
            self.context.state.save_source_error(peer.instance, text)
        peer.refuse(error)
        self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        """Nothing of it is acknowledged any more."""
        self._pending = [piece for piece in self._pending if piece.peer is not peer]
        if peer in self.peers:
            self.peers.remove(peer)
            self._selector.unregister(peer.channel)
        peer.close()

    # -- batches -------------------------------------------------------------------------------

    def _serve(self) -> None:
        if not self._pending and not any(peer.waiting for peer in self.peers):
            return
        if self._backlog.over():
            self._paused_until = time.monotonic() + _LOOK
            self._tell_all("waiting for the lake")
            return
        fresh = list(self._checked())
        self._pending += fresh
        if not self._pending:
            return
        try:
            self._write(self._pending)
        except (TransientError, OSError, sqlite3.OperationalError) as error:
            self._trouble(error)
            return
        self._pending = []
        self._failing = False

    def _checked(self) -> Iterator[_Piece]:
        """The oldest batch of each source, who was served last comes last; up to some bytes."""
        size = sum(len(entry.payload) for piece in self._pending for entry in piece.entries)
        known = {id(piece.peer) for piece in self._pending}
        for peer in [peer for peer in self.peers if peer.waiting and id(peer) not in known]:
            if size >= _ROUND_BYTES:
                return
            self.peers.remove(peer)
            self.peers.append(peer)
            piece = self._next(peer)
            if piece is not None:
                size += sum(len(entry.payload) for entry in piece.entries)
                yield piece

    def _next(self, peer: Peer) -> _Piece | None:
        frame = peer.waiting.popleft()
        number = frame.head.get("number")
        try:
            if type(number) is not int:
                raise FrameError("a batch without a number")
            batch = read_batch(frame, peer.instance)
            return _Piece(peer, number, batch, *guarded_entries(batch))
        except FrameError as error:
            self._cut_off(peer, error)
        except Exception as error:  # whatever its bytes bring about is its own source's fault
            _log.exception("a batch of source %s", peer.instance)
            self._cut_off(peer, FrameError(f"{type(error).__name__}: {error}"))
        finally:
            frame.close()
        return None

    def _write(self, pieces: list[_Piece]) -> None:
        entries = [entry for piece in pieces for entry in piece.entries]
        if entries:
            self.bus.append(entries)
        # Only now: a row that the position has passed is in the log.
        record(
            self.context.state,
            [(piece.peer.instance, piece.batch.position, piece.taken) for piece in pieces],
        )
        for piece in pieces:
            self.taken += piece.taken
            piece.peer.acknowledge(piece.number, piece.taken, piece.doing)

    def _trouble(self, error: Exception) -> None:
        """Nothing is lost: the same batches are written when it works again."""
        if not self._failing:
            _log.error("nothing can be written for now: %s", error)
        self._failing = True
        self._paused_until = time.monotonic() + self._backoff.pause(0.0)
        self._tell_all(f"waiting: {mask(str(error))}"[:200])

    def _tell_all(self, why: str) -> None:
        """Those whose batches wait."""
        for peer in self.peers:
            if peer.open:
                peer.wait(why)


def warm_up() -> None:
    """Have what the first batch needs imported before it comes: a third of a second less for it.

    Made of bytes: to look into a Python value, pyarrow imports all of pandas.
    """
    import pyarrow as pa

    schema = arrow_schema("stock")
    parts = {True: (b"\0\0\0\0\1\0\0\0", b"0"), False: (bytes(16),)}
    columns = [
        pa.Array.from_buffers(
            field.type, 1, [None, *map(pa.py_buffer, parts[pa.types.is_string(field.type)])]
        )
        for field in schema
    ]
    frame = write_batch(SourceBatch("stock", pa.Table.from_arrays(columns, schema=schema), {}), 0)
    guarded_entries(read_batch(Frame(frame.head, frame.body), "0"))


def _alive(pid: int) -> bool:
    with suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    return False
