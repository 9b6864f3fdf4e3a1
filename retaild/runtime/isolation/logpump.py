"""What a component prints, from its pipe to its log file: bounded, and harmless to look at.

The daemon reads no faster than the component may write: one that floods waits on its own pipe.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections import deque
from pathlib import Path

from retaild.runtime import logs

_log = logging.getLogger(__name__)

#: A longer line is cut, in characters.
MAX_LINE = 4096
CUT = " ... [cut]"
#: Read at once, in bytes; a pipe holds as much.
CHUNK = 65536
#: Lines kept for whoever explains why it ended.
LAST_LINES = 20

#: C0 and C1 controls (escape sequences begin with one), line separators that some viewers honour,
#: and marks that turn the direction of the text round.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def harmless(text: str) -> str:
    """Unsafe characters made visible: an escape becomes the four characters `\\x1b`."""
    return _UNSAFE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    number = ord(match.group())
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


class Lines:
    """Cuts a stream of bytes into lines of bounded length."""

    def __init__(self) -> None:
        self._rest = b""
        self._cutting = False

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that are complete now, or too long already."""
        *whole, rest = (self._rest + chunk).split(b"\n")
        lines = [line for line in map(self._one, whole) if line is not None]
        if len(rest) > MAX_LINE:
            if not self._cutting:
                lines.append(self._text(rest))
            self._cutting, rest = True, b""
        self._rest = rest
        return lines

    def end(self) -> list[str]:
        """What came without a line's end, when nothing more comes."""
        rest, self._rest = self._rest, b""
        return [self._text(rest)] if rest and not self._cutting else []

    def _one(self, line: bytes) -> str | None:
        if self._cutting:  # the end of a line whose beginning was written
            self._cutting = False
            return None
        return self._text(line)

    def _text(self, line: bytes) -> str:
        cut = len(line) > MAX_LINE
        text = line[:MAX_LINE].rstrip(b"\r").decode("utf-8", "backslashreplace")
        return harmless(text) + (CUT if cut else "")


class LogPump:
    """Owns `descriptor`. Works in the event loop from `start` to the pipe's end or `close`."""

    def __init__(self, descriptor: int, path: Path, bytes_per_second: int) -> None:
        self._descriptor, self._path, self._rate = descriptor, path, bytes_per_second
        self._lines = Lines()
        self._allowed, self._at = float(bytes_per_second), time.monotonic()
        self._pause: asyncio.TimerHandle | None = None
        self._written = 0
        self._output = -1
        self.last: deque[str] = deque(maxlen=LAST_LINES)

    def start(self) -> None:
        os.set_blocking(self._descriptor, False)
        self._open()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        now = time.monotonic()
        self._allowed = min(self._rate, self._allowed + (now - self._at) * self._rate)
        self._at = now
        chunk = self._take(min(CHUNK, int(self._allowed)))
        if chunk is None:
            self._loop.remove_reader(self._descriptor)
            return
        self._allowed -= len(chunk)
        self._write(self._lines.feed(chunk))
        if self._allowed < CHUNK / 16:  # rest, rather than read every byte on its own
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(0.25, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._read)

    def _take(self, size: int) -> bytes | None:
        """What can be read now; None at the end."""
        try:
            return os.read(self._descriptor, max(1, size)) or None
        except BlockingIOError:
            return b""

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        self.last.extend(lines)
        data = ("\n".join(lines) + "\n").encode()
        try:
            if self._written + len(data) > logs.MAX_BYTES:
                os.close(self._output)
                logs.put_aside(self._path, max_bytes=1)
                self._open()
            os.write(self._output, data)
            self._written += len(data)
        except OSError as error:  # a full disk: what it prints is lost, what it does is not
            _log.debug("cannot write %s: %s", self._path, error)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._output = os.open(self._path, flags, 0o640)
        self._written = os.fstat(self._output).st_size

    def close(self) -> None:
        """Write what still lies in the pipe (it holds a bounded amount), and let go of it."""
        self._loop.remove_reader(self._descriptor)
        if self._pause is not None:
            self._pause.cancel()
        for _ in range(17):  # a pipe holds 64 KiB, or a MiB where it was enlarged
            chunk = self._take(CHUNK)
            if not chunk:
                break
            self._write(self._lines.feed(chunk))
        self._write(self._lines.end())
        for descriptor in (self._descriptor, self._output):
            os.close(descriptor)
