"""Child processes that never outlive their daemon.

Three nets, each for what slips through the one before: a child asks the kernel to be killed when
the daemon dies; the rest of a child's process group is killed when the child ends; and whatever
carries the daemon's mark in its environment is killed at the next start. Linux only.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Process id of the daemon, and the data directory that it serves.
PARENT_VARIABLE = "RETAILD_PARENT"
MARK_VARIABLE = "RETAILD_DATA_MARK"
#: The worker in which a plugin started it.
WORKER_VARIABLE = "RETAILD_WORKER"

_PR_SET_PDEATHSIG = 1
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                     "NUMEXPR_MAX_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")  # fmt: skip
#: Nothing on the box talks to the outside on its own.
_SILENCE = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "FEAST_USAGE": "False",
}


def child_environment(root: Path, threads: int) -> dict[str, str]:
    """The environment of a worker or job: marked as ours, with libraries kept to `threads`."""
    return {
        **os.environ,
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        **_SILENCE,
        # Each thread's own heap would double the memory of a worker for no gain in speed.
        "MALLOC_ARENA_MAX": "2",
        PARENT_VARIABLE: str(os.getpid()),
        MARK_VARIABLE: str(root.resolve()),
    }


def bind_to_parent() -> None:
    """Called by a child first: die when the daemon does. Nothing happens outside of a daemon."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the line above
        sys.exit("The daemon that started this process is gone.")


@dataclass
class Child:
    """A running child, watched through its pidfd (readable once it has ended)."""

    process: subprocess.Popen[bytes]
    pidfd: int = field(default=-1)

    @classmethod
    def spawn(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        niceness: int = 0,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Start `command` in a session of its own, with all it prints appended to `log`.

        It inherits `pass_fds` under their own numbers. Must be called by the main thread: the
        kernel ties the child's life to the thread.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, pass_fds=pass_fds,
            )  # fmt: skip
        if niceness:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
        return cls(process, os.pidfd_open(process.pid))

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """To the whole process group; a group that is gone is no error."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def finish(self) -> int:
        """Reap the ended child, kill what is left of its group, return its exit code."""
        # The group first: once the child is reaped, its number may be given to a stranger.
        self.signal(signal.SIGKILL)
        code = self.process.wait()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        return code

    async def over(self) -> int:
        """Wait for its end without polling, in the event loop; its exit code."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self.pidfd)
        return self.finish()


def describe_exit(code: int) -> str:
    """An exit code in words: "exit code 1", "killed by SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def sweep(root: Path, also: str = "") -> list[int]:
    """Kill what an earlier daemon of `root` left behind; the process ids that were killed.

    With `also` ("NAME=value") only processes that have that in their environment too. The mark is
    read from the living process, so a process id given to a stranger in between is never hit. Call
    it while holding the daemon's lock.
    """
    marks = {f"{MARK_VARIABLE}={root.resolve()}".encode()} | ({also.encode()} if also else set())
    return [pid for pid in _process_ids() if pid != os.getpid() and _kill_if_marked(pid, marks)]


def _process_ids() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield int(entry.name)


def _kill_if_marked(pid: int, marks: set[bytes]) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        if not marks <= set(environment.split(b"\0")):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], 5.0)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(pidfd)


def resident_bytes(pid: int) -> int:
    """Memory in use by a process; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
