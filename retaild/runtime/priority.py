"""Who gets the processor first: server, doors and lake, then plugins, then jobs and backups.

A niceness counts among the processes of one session only where the kernel schedules sessions as
groups (autogroup, the default of desktop and many server kernels); there the group's own number
counts against other sessions. Workers, components and jobs lead a session each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: A plugin that floods the log must not hold up answers: on two cores, with its source, the ingest
#: and the stream worker as important as the server, half of the answers took 20 ms and more.
COMPONENT = 15
WORKERS = {"ingest": 15, "stream": 15}
BACKUP = 19

_AUTOGROUP = Path("/proc/self/autogroup")


def give_way(niceness: int) -> None:
    """Make this process less important; one that already is stays so."""
    with suppress(OSError):
        niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, 0))
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():
        _set_group(niceness)


@contextmanager
def giving_way(niceness: int) -> Iterator[None]:
    """`give_way` for a while, as far as the kernel lets a process become more important again.

    A session that somebody else leads, such as a shell, gets its number back.
    """
    before, own = _group(), os.getpriority(os.PRIO_PROCESS, 0)
    give_way(niceness)
    _set_group(niceness)
    try:
        yield
    finally:
        if before is not None and os.getsid(0) != os.getpid():
            _set_group(before)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, own)


def _group() -> int | None:
    """None: this kernel makes no groups."""
    try:
        return int(_AUTOGROUP.read_text().rpartition(" nice ")[2])
    except (OSError, ValueError):
        return None


def _set_group(niceness: int) -> None:
    """Without privileges the kernel takes ten of these a second from all processes together."""
    for _ in range(5):
        try:
            _AUTOGROUP.write_text(str(niceness))
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:
            return
        else:
            return
