"""One writer at a time, among threads and among processes."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ProcessLock:
    """Threads of this object by a lock, processes by flock on a file (freed by death)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.threads = threading.Lock()
        self._file = -1

    def open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o640)

    def close(self) -> None:
        """Call it with `threads` held."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        with self.threads:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
