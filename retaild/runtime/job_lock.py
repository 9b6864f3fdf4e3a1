"""Never two runs of the same work at once, whoever starts them.

The lock is the kernel's: it goes with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from retaild.api.errors import TransientError
from retaild.config.paths import DataDir


class JobRunningError(TransientError):
    key = "job.running"

    def __init__(self, work: str, holder: str) -> None:
        who = f" (process {holder})" if holder else ""
        super().__init__(
            f"Job {work!r} is already running{who}.",
            hint="Wait until it has finished; `retaildctl job list` shows how far it is.",
        )


def work_name(kind: str, arguments: Mapping[str, str]) -> str:
    """What must not run twice: the kind of job, and for training which model."""
    trainer = arguments.get("trainer", "")
    return f"{kind}-{trainer}" if kind == "train" and trainer else kind


@contextmanager
def job_lock(
    data: DataDir, work: str, wait: Callable[[JobRunningError], bool] = lambda _: False
) -> Iterator[None]:
    """Hold the lock of `work` (`run/job-<work>.lock`).

    While another process has it, `wait` is asked with the error: True tries again (it should have
    slept), False raises JobRunningError.
    """
    path = data.run / f"job-{work.replace(os.sep, '_')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        while not _try(file):
            error = JobRunningError(work, _holder(path))
            if not wait(error):
                raise error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
