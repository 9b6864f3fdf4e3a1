"""Frames between a source's process and the ingest worker, over a Unix socket.

A frame is a header (magic, flags, length of the head, length of the body), the head (a JSON object
with its `kind`) and the body. A large body does not pass through the socket: it lies in a sealed
piece of shared memory (memfd) whose descriptor comes with the frame. Sealed means that its sender
can change it no more, so that what was checked is what is used.

Only the standard library is imported; what the frames mean is `retaild.runtime.ingest_frames`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError, TransientError

#: Raised when frames change their meaning; both ends come with one release, so no older one works.
PROTOCOL = 1
#: Bounds in bytes. A batch has at most 65,536 rows of at most some kilobytes.
MAX_HEAD = 512 * 1024
MAX_INLINE = 128 * 1024
MAX_BODY = 256 * 1024 * 1024

_HEADER = struct.Struct("!4sBII")
_MAGIC = b"rtl1"
_SHARED = 1
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_READ = 256 * 1024
#: Descriptors that may have come without their frame yet.
_SPARE = 4


class FrameError(RetaildError):
    """What came is not a frame; nothing of it was used."""

    key = "ingest.frame"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"What came is not what a source may send: {reason}.",
            hint="The plugin, or what it runs in, is at fault; the source's position stays.",
        )


class LostError(TransientError):
    key = "ingest.connection_lost"

    def __init__(self) -> None:
        super().__init__(
            "The connection with the ingest worker was lost.",
            hint="It is made again by itself. See `retaildctl logs ingest`.",
        )


@dataclass(slots=True)
class Frame:
    """`close` it, also unread: it may hold a descriptor."""

    head: dict[str, Any]
    _inline: bytes = b""
    _descriptor: int = -1
    _length: int = 0

    @property
    def kind(self) -> str:
        return str(self.head.get("kind", ""))

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return self._length

    def body(self) -> memoryview:
        """Raises FrameError if shared memory is not sealed, or not as long as was said."""
        if self._descriptor < 0:
            return memoryview(self._inline)
        try:
            seals = fcntl.fcntl(self._descriptor, fcntl.F_GET_SEALS)
            size = os.fstat(self._descriptor).st_size
        except OSError:
            raise FrameError("its descriptor is no shared memory") from None
        if seals & _SEALS != _SEALS or size != self._length:
            raise FrameError("its shared memory is not sealed, or not as long as was said")
        flags = mmap.MAP_PRIVATE
        return memoryview(mmap.mmap(self._descriptor, size, flags, mmap.PROT_READ))

    def close(self) -> None:
        """A body that was asked for stays valid."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def shared_memory() -> int:
    """A new piece, to be filled, then given to `seal`."""
    return os.memfd_create("retaild-batch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seal(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)


@dataclass
class Channel:
    """One end of a connection. Never blocks but in `send`, and there as its `waiting` says."""

    connection: socket.socket
    _received: bytearray = field(default_factory=bytearray)
    _descriptors: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.connection.setblocking(False)

    def fileno(self) -> int:
        return self.connection.fileno()

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self.connection.close()

    # -- receiving -----------------------------------------------------------------------------

    def receive(self) -> list[Frame]:
        """Whole frames that have arrived. Raises LostError at the end, FrameError for rubbish."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, _READ, _SPARE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise _lost(error) from None
        self._descriptors += descriptors
        if not data:
            raise LostError
        self._received += data
        frames: list[Frame] = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
            if len(self._descriptors) > _SPARE:
                raise FrameError("more descriptors came than frames")
        except FrameError:
            for frame in frames:
                frame.close()
            raise
        return frames

    def wait(self, seconds: float) -> bool:
        """Whether something has arrived (or the connection has ended) by then."""
        return bool(select.select([self.connection], [], [], max(0.0, seconds))[0])

    def _next(self) -> Frame | None:
        if len(self._received) < _HEADER.size:
            return None
        magic, flags, head, body = _HEADER.unpack_from(self._received)
        shared = flags == _SHARED
        if magic != _MAGIC or flags not in (0, _SHARED):
            raise FrameError("it begins with other signs than a frame")
        if head > MAX_HEAD or body > (MAX_BODY if shared else MAX_INLINE):
            raise FrameError(f"its parts are too long ({head:,} and {body:,} bytes)")
        end = _HEADER.size + head + (0 if shared else body)
        if len(self._received) < end:
            return None
        if shared and not self._descriptors:
            raise FrameError("its descriptor is missing")
        found = _object(bytes(self._received[_HEADER.size : _HEADER.size + head]))
        inline = b"" if shared else bytes(self._received[_HEADER.size + head : end])
        del self._received[:end]
        return Frame(found, inline, self._descriptors.popleft() if shared else -1, body)

    # -- sending -------------------------------------------------------------------------------

    def send(
        self,
        head: Mapping[str, Any],
        body: bytes = b"",
        descriptor: int = -1,
        *,
        waiting: Callable[[], None] | None = None,
    ) -> None:
        """Send a frame; `descriptor` (sealed) instead of `body`.

        Calls `waiting` several times a second while the other end takes nothing; what that raises
        ends the connection's use (a frame is half way). Without it, an end that takes nothing is
        given up. Raises LostError.
        """
        text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
        shared = descriptor >= 0
        length = os.fstat(descriptor).st_size if shared else len(body)
        data = memoryview(
            _HEADER.pack(_MAGIC, _SHARED if shared else 0, len(text), length) + text + body
        )
        with_it = [descriptor] if shared else []
        while data:
            try:
                sent = socket.send_fds(self.connection, [data], with_it)
            except BlockingIOError:
                if waiting is None:
                    raise LostError from None
                select.select([], [self.connection], [], 0.2)
                waiting()
                continue
            except OSError as error:
                raise _lost(error) from None
            data, with_it = data[sent:], []


def _lost(error: OSError) -> Exception:
    """A descriptor that was closed in this very process is no fault of the other end."""
    return error if error.errno == errno.EBADF else LostError()


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameError("its head is not JSON") from None
    if not isinstance(found, dict):
        raise FrameError("its head is not a JSON object")
    return found


def connect(directory: os.PathLike[str], name: str) -> socket.socket:
    """To the socket `name` in `directory`, however long its path is. Raises OSError."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(5.0)
            # An address holds 107 bytes; through /proc any path fits.
            connection.connect(f"/proc/self/fd/{folder}/{name}")
        except OSError:
            connection.close()
            raise
        return connection
    finally:
        os.close(folder)


def listen(directory: os.PathLike[str], name: str) -> socket.socket:
    """The socket `name` in `directory`, for its owner only; one left by a killed process goes."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        before = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{name}")
        finally:
            os.umask(before)
        listener.listen(64)
        return listener
    finally:
        os.close(folder)


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end, as the kernel knows it."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", packed)[0]
    return pid
