"""Who gets the processor first: server, doors and lake, then plugins, then jobs and backups.

A niceness counts among the processes of one session only where the kernel schedules sessions as
groups (autogroup, the default of desktop and many server kernels); there the group's own number
counts against other sessions. Workers, components and jobs lead a session each.

Niceness shares time out; it does not make a turn end. A server that wakes for a request waits for
the turn of whoever computes, 4 ms at 250 ticks a second. So the thread that answers asks for the
kernel's real-time policy (`come_first`), which ends that turn at once.
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
#: When memory runs out, the kernel takes plugins and jobs first (500), then what the log makes up
#: for, then the doors and the server (0).
OOM_SCORES = {"stream": 300}

_AUTOGROUP = Path("/proc/self/autogroup")


def give_way(niceness: int) -> None:
    """Make this process less important; one that already is stays so."""
    with suppress(OSError):
        niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, 0))
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():
        _set_group(niceness)


def go_first(score: int) -> None:
    """When memory runs out: the higher the score (0..1000), the sooner the kernel ends this."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score))


def come_first() -> bool:
    """Let the calling thread, and no other, run the moment it has something to do.

    Round robin (sched(7)), the lowest of the real-time priorities; what it starts has none of it.
    The kernel keeps a twentieth of the time for everybody else, whatever the thread does. False:
    not permitted (it takes root, CAP_SYS_NICE or RLIMIT_RTPRIO), or there is but one core, which a
    server that is ranking everyone would keep to itself.
    """
    if len(os.sched_getaffinity(0)) < 2:
        return False
    try:
        lowest = os.sched_get_priority_min(os.SCHED_RR)
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(lowest))
    except OSError:
        return False
    return True


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
