"""Niceness of a process and of its session."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.runtime import priority

_AUTOGROUP = Path("/proc/self/autogroup")
_ROOT = Path(__file__).parents[2]


def asked(work: Callable[[], Any], *, leads: bool = True) -> Any:
    """What `work` says in a process of its own, which leads its session or whose shell does."""
    program = f"import json; from {__name__} import {work.__name__} as w; print(json.dumps(w()))"
    command = [sys.executable, "-c", program]
    process = subprocess.run(
        command if leads else ["sh", "-c", '"$@"; exit $?', "sh", *command],
        cwd=_ROOT,
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def group() -> int | None:
    return int(_AUTOGROUP.read_text().split()[-1]) if _AUTOGROUP.exists() else None


def twice() -> tuple[int, int, int | None]:
    priority.give_way(7)
    first = os.getpriority(os.PRIO_PROCESS, 0)
    priority.give_way(3)
    return first, os.getpriority(os.PRIO_PROCESS, 0), group()


def for_a_while() -> tuple[int | None, int | None, int | None]:
    before = group()
    with priority.giving_way(19):
        during = group()
    return before, during, group()


def test_it_gives_way_and_never_takes_back() -> None:
    first, second, of_group = asked(twice)
    assert first == second == max(7, os.getpriority(os.PRIO_PROCESS, 0))
    assert of_group in (None, first)


@pytest.mark.skipif(not _AUTOGROUP.exists(), reason="this kernel schedules no sessions as groups")
def test_a_session_of_its_own_stays_low_a_borrowed_one_does_not() -> None:
    before, during, after = asked(for_a_while)
    assert (during, after) == (19, 19)
    before, during, after = asked(for_a_while, leads=False)
    assert (during, after) == (19, before)


def first() -> tuple[int, int, int, int]:
    came = priority.come_first()
    seen: list[int] = []
    beside = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
    beside.start()
    beside.join()
    started = subprocess.run(
        [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"],
        capture_output=True,
        check=True,
    )
    return came, os.sched_getscheduler(0), seen[0], int(started.stdout)


def on_one_core() -> tuple[int, int]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return priority.come_first(), os.sched_getscheduler(0)


def may_come_first() -> bool:
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    return (os.geteuid() == 0 or soft > 0) and len(os.sched_getaffinity(0)) > 1


@pytest.mark.skipif(not may_come_first(), reason="real-time policies are not permitted here")
def test_the_thread_that_comes_first_gives_it_to_no_other_thread_and_no_child() -> None:
    came, policy, beside, started = asked(first)
    assert came
    assert policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
    assert (beside, started) == (os.SCHED_OTHER, os.SCHED_OTHER)


def test_nobody_comes_first_on_a_single_core() -> None:
    assert asked(on_one_core) == [False, os.SCHED_OTHER]


def refused() -> tuple[bool, int]:
    os.setresuid(65534, 65534, 65534)
    return priority.come_first(), os.sched_getscheduler(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give its rights away")
def test_without_the_right_it_goes_on_as_before() -> None:
    assert asked(refused) == [False, os.SCHED_OTHER]
