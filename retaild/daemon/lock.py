"""One daemon per data directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir


class AlreadyRunningError(RetaildError):
    key = "daemon.already_running"

    def __init__(self, data: DataDir, pid: str) -> None:
        super().__init__(
            f"A retaild already runs on {data.root}" + (f" (process {pid})." if pid else "."),
            hint="Use it (`retaildctl status`), stop it, or name another directory with --data.",
        )


@contextmanager
def daemon_lock(data: DataDir) -> Iterator[None]:
    """Hold the directory's lock; the kernel lets go of it however this process ends.

    Raises AlreadyRunningError.
    """
    descriptor = os.open(data.lock, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 20).decode("ascii", "replace").strip()
            raise AlreadyRunningError(data, pid) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
