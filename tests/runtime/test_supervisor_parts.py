"""Parts of the supervision that need no daemon: pauses, heartbeat, logs, processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from retaild.runtime import logs
from retaild.runtime.backoff import Backoff
from retaild.runtime.heartbeat import Heart
from retaild.runtime.process import (
    MARK_VARIABLE,
    PARENT_VARIABLE,
    Child,
    child_environment,
    describe_exit,
    sweep,
)


def test_pauses_double_up_to_a_cap_and_start_anew_after_a_healthy_run() -> None:
    backoff = Backoff(first=0.1, cap=1.0, healthy=10.0)
    assert [round(backoff.pause(1.0), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff.pause(11.0) == 0.1
    assert backoff.pause(1.0) == 0.2


def test_a_heart_tells_only_what_beat_and_keeps_figures() -> None:
    heart, told = Heart(), []
    heart.flush(told.append)
    assert told == []
    heart.beat({"a": 1})
    heart.beat({"b": 2})
    heart.flush(told.append)
    heart.flush(told.append)
    heart.beat({})
    heart.flush(told.append)
    assert told == [{"a": 1, "b": 2}] * 2


def test_beating_is_cheap() -> None:
    """A hot loop may beat at every turn: 100,000 beats well under a second."""
    heart = Heart()
    began = time.process_time()
    for number in range(100_000):
        heart.beat({"n": number})
    assert time.process_time() - began < 1.0


def test_a_busy_database_does_not_stop_the_heart() -> None:
    import sqlite3

    heart, stopped, calls = Heart(), threading.Event(), []

    def write(_: object) -> None:
        calls.append(1)
        stopped.set()
        raise sqlite3.OperationalError("database is locked")

    heart.beat({})
    heart.run(write, stopped)
    assert calls == [1]


def test_logs_are_put_aside_and_only_some_kept(tmp_path: Path) -> None:
    log = tmp_path / "w.log"
    for number in range(6):
        log.write_text(f"{number}" * 100)
        assert logs.put_aside(log, max_bytes=50, keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.log.1", "w.log.2", "w.log.3"]
    assert (tmp_path / "w.log.1").read_text()[0] == "5"
    assert (tmp_path / "w.log.3").read_text()[0] == "3"
    log.write_text("short")
    assert not logs.put_aside(log, max_bytes=50)
    assert not logs.put_aside(tmp_path / "none")


def test_a_process_goes_on_in_a_new_log(tmp_path: Path) -> None:
    """Also what is printed past Python's own streams."""
    log = tmp_path / "w.log"
    script = (
        f"import os, pathlib; from retaild.runtime import logs; path = pathlib.Path({str(log)!r}); "
        "os.write(1, b'x' * 100); logs.rotate(path, max_bytes=50); os.write(2, b'new')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with log.open("ab") as output:
        subprocess.run([sys.executable, "-c", script], stdout=output, stderr=output, check=True,
                       env=environment)  # fmt: skip
    assert log.read_bytes() == b"new"
    assert (tmp_path / "w.log.1").read_bytes() == b"x" * 100


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "w.log"
    log.write_text("\n".join(f"line {n} {'.' * 300}" for n in range(10_000)))
    assert [line.split()[1] for line in logs.tail(log, 3)] == ["9997", "9998", "9999"]
    assert logs.tail(tmp_path / "none") == []


def test_job_logs_are_pruned_oldest_first(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"job-{number}.log"
        path.touch()
        os.utime(path, (number, number))
    logs.prune_job_logs(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job-3.log", "job-4.log"]


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL")]
)
def test_exits_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text


def test_a_child_leaves_no_helpers(tmp_path: Path) -> None:
    """What a child started in its own group dies when the child ends."""
    script = (
        "import subprocess, sys; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(p.pid, flush=True)"
    )
    log = tmp_path / "log"
    child = Child.spawn([sys.executable, "-c", script], dict(os.environ), log)
    import select

    assert select.select([child.pidfd], [], [], 20)[0]
    assert child.finish() == 0
    helper = int(log.read_text())
    for _ in range(200):
        if not _alive(helper):
            break
        time.sleep(0.01)
    assert not _alive(helper)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_sweep_hits_only_what_is_marked(tmp_path: Path) -> None:
    def sleeper(mark: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                                env={**os.environ, MARK_VARIABLE: mark})  # fmt: skip

    ours, other = sleeper(str(tmp_path)), sleeper(f"{tmp_path}-other")
    try:
        time.sleep(0.1)
        assert sweep(tmp_path) == [ours.pid]
        assert ours.wait(5) == -9
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_a_child_is_told_whose_it_is(tmp_path: Path) -> None:
    environment = child_environment(tmp_path, threads=1)
    assert environment[PARENT_VARIABLE] == str(os.getpid())
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["DO_NOT_TRACK"] == "1"


def test_a_child_of_a_dead_parent_ends_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from retaild.runtime.process import bind_to_parent as b; b()"],
        env={**os.environ, PARENT_VARIABLE: "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is gone" in done.stderr
