"""The first steps of a component's process, between the fork and its own work.

Runs in the fork server's image: nothing here may raise what would unwind into the server.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from retaild.runtime.priority import COMPONENT, give_way, go_first

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

#: When memory runs out, the kernel takes components first.
OOM_SCORE = 500
#: Descriptor on which the component says that it is open.
READY = 3
_MIB = 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Order:
    """Which component to start, and how. Travels as JSON."""

    name: str
    kind: str
    instance: str
    data: str
    config: str | None = None
    #: "module:function" to run instead of the kind's own runner.
    entry: str | None = None
    #: A Python of its own; else a fork of the server.
    python: str | None = None
    #: Put before the module search path.
    path: tuple[str, ...] = ()
    memory_mib: int = 512
    #: False: it keeps a server, which has limits of its own and serves the others.
    confined: bool = True

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in message.items() if key in known}
        return cls(**{**values, "path": tuple(values.get("path", ()))})

    def message(self) -> dict[str, Any]:
        return asdict(self)


def become_component(order: Order, server: int, log: int, ready: int) -> None:
    """Leave the server behind: session, signals, streams, limits. `ready` becomes READY."""
    os.setsid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:  # it died before the line above
        os._exit(1)
    # What the component's children leave behind is still its family.
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_NAME, order.name.encode()[:15], 0, 0, 0)
    _reset_signals()
    _connect_streams(log)
    os.dup2(ready, READY)
    os.set_inheritable(READY, order.python is not None)
    os.closerange(READY + 1, 65536)
    if order.confined:
        _limit(order.memory_mib)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _connect_streams(log: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _limit(memory_mib: int) -> None:
    # Doors, log and answers come before sources and sinks.
    give_way(COMPONENT)
    go_first(OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The watch ends what takes more than its limit; this stops what is faster than the watch.
    # The kernel counts reserved memory too, hence the distance.
    hard = _data_bytes() + max(2 * memory_mib, memory_mib + 512) * _MIB
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _data_bytes() -> int:
    """Private writable memory of this process as the kernel counts it, used or only reserved."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
