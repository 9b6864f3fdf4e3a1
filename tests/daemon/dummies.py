"""Workers and a job for the tests of the supervision; they run in processes of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


def steady(context: Any) -> None:
    """Works until told to stop, and says so."""
    _note(context, f"{context.name} has interval {context.settings.lake.interval_seconds:g}")
    if "RETAILD_READY_FD" in os.environ:
        os.write(int(os.environ["RETAILD_READY_FD"]), b"1")
    count = 0
    while not context.stop.wait(0.05):
        count += 1
        context.heartbeat(count=count, offset=count, ready="yes")
    _note(context, f"{context.name} stopped")


def with_grandchild(context: Any) -> None:
    """As steady, with a helper process in a session of its own."""
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                              start_new_session=True)  # fmt: skip
    (context.data.root / "grandchild").write_text(str(helper.pid))
    steady(context)
    helper.kill()


def crashing(context: Any) -> None:
    _note(context, f"{context.name} crashes")
    raise RuntimeError("bang")


def picky(context: Any) -> None:
    """Dies of its first input under one configuration, though it begins well."""
    if context.settings.lake.interval_seconds != 13:
        steady(context)
        return
    context.heartbeat(offset=0)
    time.sleep(1.2)
    raise RuntimeError("thirteen brings bad luck")


def answering(context: Any) -> None:
    """A server that answers a line with its process id, on the socket that it is handed."""
    listening = socket.socket(fileno=int(os.environ["RETAILD_LISTEN_FD"]))
    listening.settimeout(0.1)
    if "RETAILD_READY_FD" in os.environ:
        os.write(int(os.environ["RETAILD_READY_FD"]), b"1")
    while not context.stop.is_set():
        context.heartbeat(ready="yes")
        with suppress(TimeoutError, BlockingIOError):
            connection, _ = listening.accept()
            with connection:
                connection.sendall(f"{os.getpid()}\n".encode())


def hanging(context: Any) -> None:
    """Gives no sign of life after the first."""
    _note(context, f"{context.name} hangs")
    time.sleep(600)


def stubborn(context: Any) -> None:
    """Does not stop when told to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        context.heartbeat()
        time.sleep(0.05)


def _note(context: Any, text: str) -> None:
    with (context.data.root / "notes").open("a") as notes:
        notes.write(f"{time.monotonic():.3f} {text}\n")


def job(arguments: list[str]) -> int:
    """`dummies.py ROOT JOB RUN_ID [seconds|fail|silent]`: writes when it began and ended."""
    from retaild.runtime.process import bind_to_parent
    from retaild.runtime.state import State

    bind_to_parent()
    root, name, run_id, what = Path(arguments[0]), arguments[1], int(arguments[2]), arguments[3]
    with (root / "jobs").open("a") as notes:
        notes.write(f"{name} begins {os.getpid()}\n")
    if what == "silent":
        return 3
    time.sleep(float(what))
    with (root / "jobs").open("a") as notes:
        notes.write(f"{name} ends {os.getpid()}\n")
    State(root / "state.db").save_run(
        run_id, state="succeeded", finished=time.time(), progress=1.0, result={"nice": os.nice(0)}
    )
    return 0


if __name__ == "__main__":
    sys.exit(job(sys.argv[1:]))
