"""Who may remove files: nobody while a backup is being made.

Kernel locks, so that a killed backup holds up nobody.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from retaild.config.paths import DataDir
from retaild.runtime.backup.errors import BackupRunningError

_PAUSE = 0.2


@contextmanager
def backup_lock(data: DataDir, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """For the one backup of this directory: from here on no job removes files.

    Raises BackupRunningError. Waits for a job that is removing some; `waiting` is called then.
    """
    with _opened(data, "backup.lock") as own, _opened(data, "files.lock") as files:
        if not _try(own, fcntl.LOCK_EX):
            raise BackupRunningError(_holder(own))
        os.ftruncate(own, 0)
        os.pwrite(own, str(os.getpid()).encode(), 0)
        while not _try(files, fcntl.LOCK_EX):
            waiting()
            time.sleep(_PAUSE)
        yield


@contextmanager
def may_remove_files(data: DataDir) -> Iterator[bool]:
    """For jobs that remove files of lake, log or models: False while a backup needs them."""
    with _opened(data, "files.lock") as descriptor:
        yield _try(descriptor, fcntl.LOCK_SH)


@contextmanager
def removing_files(data: DataDir, waiting: Callable[[], None]) -> Iterator[None]:
    """The same for work that cannot be put off: waits for the backup's end; `waiting` is called."""
    with _opened(data, "files.lock") as descriptor:
        while not _try(descriptor, fcntl.LOCK_SH):
            waiting()
            time.sleep(_PAUSE)
        yield


@contextmanager
def _opened(data: DataDir, name: str) -> Iterator[int]:
    data.run.mkdir(parents=True, exist_ok=True, mode=0o750)
    descriptor = os.open(data.run / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def place_lock(folder: Path) -> Iterator[None]:
    """One backup at a time into one folder. Raises BackupRunningError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not _try(descriptor, fcntl.LOCK_EX):
            raise BackupRunningError("")
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
