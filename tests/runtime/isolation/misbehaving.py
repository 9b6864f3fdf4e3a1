"""Components that misbehave, each in its own way; run in forked processes by the tests."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from retaild.api.errors import ConfigError, TransientError


def steady(context: Any) -> None:
    """The good neighbour: notes the longest pause between two turns of its loop."""
    count, longest, last = 0, 0.0, time.monotonic()
    while not context.stop.wait(0.02):
        count += 1
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        context.heartbeat(count=count, longest=round(longest, 3), nice=os.nice(0))


def raises(context: Any) -> None:
    context.heartbeat()
    raise RuntimeError("the till speaks Klingon")


def raises_in_open(context: Any) -> None:
    raise RuntimeError("no such till")


def wrong_settings(context: Any) -> None:
    raise ConfigError("The till needs a name.", hint="Give it one.")


def unreachable(context: Any) -> None:
    raise TransientError("The till does not answer.")


def works_after_a_file(context: Any) -> None:
    """Opens once `data/mended` is there."""
    if not (context.data.root / "mended").exists():
        raise RuntimeError("broken")
    steady(context)


def hangs_in_open(context: Any) -> None:
    time.sleep(600)


def hangs_in_a_call(context: Any) -> None:
    context.heartbeat(count=1)
    time.sleep(600)


def ignores_the_end(context: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        context.heartbeat()
        time.sleep(0.05)


def segfaults(context: Any) -> None:
    context.heartbeat()
    ctypes.string_at(8)


def leaks_fast(context: Any) -> None:
    """As fast as the machine can."""
    context.heartbeat()
    kept = []
    while True:
        kept.append(b"x" * (8 << 20))


def leaks_slowly(context: Any) -> None:
    kept = []
    while not context.stop.wait(0.02):
        kept.append(os.urandom(4 << 20))
        context.heartbeat(count=len(kept))


def leaks_in_a_child(context: Any) -> None:
    context.heartbeat()
    script = "import time; kept = b'x' * (200 << 20); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    steady(context)


def leaks_shared_memory(context: Any) -> None:
    context.heartbeat()
    area = mmap.mmap(-1, 200 << 20)
    area.write(b"x" * (200 << 20))
    steady(context)


def floods(context: Any) -> None:
    """Rubbish with escapes, as fast as it is taken."""
    line = b"\x1b[2J\x1b[31m2026-01-01T00:00:00.000Z ERROR retaild.daemon: all is lost\x07\xff\r"
    context.heartbeat()
    while not context.stop.is_set():
        os.write(1, (line * 100 + b"\n") * 4)


def forks_and_hides(context: Any) -> None:
    """Children and grandchildren in sessions of their own that ignore every polite signal."""
    context.heartbeat()
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            if os.fork() == 0:
                os.setsid()
                while True:
                    time.sleep(600)
            os._exit(0)
    steady(context)


def forks_for_ever(context: Any) -> None:
    context.heartbeat()
    while True:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        time.sleep(0.002)


def spins(context: Any) -> None:
    """Burns a core, and says that it lives, but does nothing."""
    while not context.stop.is_set():
        context.heartbeat(count=1)
        for _ in range(100_000):
            pass


def exits_without_a_word(context: Any) -> None:
    context.heartbeat()
    os._exit(0)


def closes_everything(context: Any) -> None:
    context.heartbeat()
    time.sleep(0.1)
    os.closerange(0, 1024)
    while True:
        time.sleep(0.05)
        context.heartbeat()


def imports_the_world(context: Any) -> None:
    import pandas
    import scipy.stats

    assert pandas
    assert scipy.stats
    steady(context)


def raises_system_exit(context: Any) -> None:
    context.heartbeat()
    sys.exit("enough")


def shows_its_surroundings(context: Any) -> None:
    import json

    facts = {
        "pid": os.getpid(), "session": os.getsid(0), "nice": os.nice(0),
        "stdin": os.readlink("/proc/self/fd/0"),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "first_path": sys.path[0], "executable": sys.executable,
        "threads": len(os.listdir("/proc/self/task")),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
    }  # fmt: skip
    (context.data.root / "surroundings.json").write_text(json.dumps(facts))
    steady(context)
