"""A job's process: what it records, how it ends, what it may take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.job import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_STOPPED,
    EXIT_TRY_LATER,
    Progress,
)
from retaild.runtime.job_limits import Limits
from retaild.runtime.job_lock import JobRunningError, job_lock, work_name
from retaild.runtime.jobs import JOBS, UnknownJobError, WrongArgumentError, job_kind
from retaild.runtime.state import Row, State

#: Kinds of job for these tests, in a module of their own beside the data.
KINDS = """
import ctypes, os, resource, sys, time
from retaild.api.errors import MissingDataError, TransientError

def works(context):
    context.progress(0.5, "half way")
    print("printed by python")
    ctypes.CDLL(None).puts(b"printed by native code"); ctypes.CDLL(None).fflush(None)
    return {"arguments": context.arguments, "instance": context.name,
            "nice": os.getpriority(os.PRIO_PROCESS, 0), "omp": os.environ["OMP_NUM_THREADS"],
            "blas": os.environ["OPENBLAS_NUM_THREADS"],
            "limit": resource.getrlimit(resource.RLIMIT_DATA)[0],
            "heavy": [m for m in ("pandas", "feast", "mlflow", "pyarrow") if m in sys.modules]}

def crashes(context):
    raise ZeroDivisionError("by nothing")

def lacks_data(context):
    raise MissingDataError("There are 3 receipts.", hint="Import more.")

def hogs(context):
    return {"got": len(bytearray(300 * 1024 * 1024))}

def waits(context):
    context.progress(0.1, "waiting")
    try:
        time.sleep(60)
    except Exception:
        pass

def dies(context):
    os.kill(os.getpid(), 9)
"""
DRIVER = """
import sys
sys.path[:0] = {paths!r}
from retaild.runtime.jobs import JOBS, JobKind
for name in ("works", "crashes", "lacks_data", "hogs", "waits", "dies"):
    JOBS[name] = JobKind("kinds_of_test:" + name, name)
from retaild.runtime.job import main
sys.exit(main(sys.argv[1:]))
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    (tmp_path / "kinds_of_test.py").write_text(textwrap.dedent(KINDS))
    (tmp_path / "retaild.toml").write_text(
        '[job.nightly]\nkind = "works"\narguments = { trainer = "price", nice = "15" }\n'
    )
    return DataDir(tmp_path / "data")


@pytest.fixture
def state(data: DataDir) -> State:
    return State(data.state_db)


@pytest.fixture
def start(data: DataDir) -> Start:
    paths = [str(data.root.parent), *sys.path]

    def start(name: str, *arguments: str, run: int | None = None) -> subprocess.Popen[bytes]:
        options = ["--data", str(data.root), "--config", str(data.root.parent / "retaild.toml")]
        options += ["--run-id", str(run)] if run else []
        command = [sys.executable, "-c", DRIVER.format(paths=paths), name, *options, *arguments]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    return start


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, said = process.communicate(timeout=60)
    return process.returncode, said.decode()


def last_run(state: State) -> Row:
    return state.runs()[0]


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_run_records_its_result_and_its_log(data: DataDir, state: State, start: Start) -> None:
    run_id = state.request_run("nightly", "works", {"trainer": "price", "nice": "15"}, "schedule")
    assert run_id == 1
    code, _ = finish(start("nightly", "--argument", "threads=1", run=run_id))
    run = last_run(state)
    assert (code, run["state"], run["progress"], run["error"]) == (0, "succeeded", 1.0, None)
    result = run["result"]
    assert result["arguments"] == {"trainer": "price"}
    assert (result["instance"], result["nice"]) == ("nightly", 15)
    assert (result["omp"], result["blas"]) == ("1", "1")
    assert result["limit"] > 1024 * 1024 * 1024
    assert result["heavy"] == []
    assert 0 < result["seconds"] <= run["finished"] - run["started"] + 1
    assert result["peak_memory_mib"] > 10
    log = data.job_log(1).read_text()
    for said in ("half way", "printed by python", "printed by native code", "has finished"):
        assert said in log


def test_a_run_started_by_hand_is_recorded_like_any_other(state: State, start: Start) -> None:
    code, _ = finish(start("nightly", "--argument", "trainer=recommender"))
    run = last_run(state)
    assert (code, run["job"], run["kind"], run["trigger"]) == (0, "nightly", "works", "command")
    assert run["result"]["arguments"] == {"trainer": "recommender"}


def test_a_fault_is_a_sentence_in_the_state_and_a_traceback_in_the_log(
    data: DataDir, state: State, start: Start
) -> None:
    assert finish(start("crashes"))[0] == EXIT_FAILED
    run = last_run(state)
    assert run["state"] == "failed"
    assert run["error"] == "ZeroDivisionError: by nothing. The log has the details."
    assert run["finished"] >= run["started"]
    assert "Traceback" in data.job_log(run["id"]).read_text()


def test_missing_data_needs_no_traceback(data: DataDir, state: State, start: Start) -> None:
    assert finish(start("lacks_data"))[0] == EXIT_FAILED
    run = last_run(state)
    assert run["error"] == "There are 3 receipts. Import more."
    assert "Traceback" not in data.job_log(run["id"]).read_text()


def test_unknown_jobs_and_wrong_limits_are_said(state: State, start: Start) -> None:
    assert finish(start("nonsense"))[0] == EXIT_FAILED
    assert last_run(state)["error"].startswith("There is no job 'nonsense'.")
    assert finish(start("works", "--argument", "nice=low"))[0] == EXIT_FAILED
    assert "'low', which is not a whole number" in last_run(state)["error"]


def test_a_wrong_configuration_is_said_in_a_line(data: DataDir, start: Start) -> None:
    config = data.root.parent / "retaild.toml"
    config.write_text("[api]\nport = 'high'\n")
    code, said = finish(start("works"))
    assert code == EXIT_CONFIG
    assert said.count("\n") == 1
    assert "retaild.toml:2" in said


def test_memory_is_bounded(state: State, start: Start) -> None:
    assert finish(start("hogs", "--argument", "memory_mib=250"))[0] == EXIT_FAILED
    assert "memory_mib" in last_run(state)["error"]
    assert finish(start("hogs", "--argument", "memory_mib=900"))[0] == 0
    assert last_run(state)["result"]["got"] == 300 * 1024 * 1024


def test_a_job_ends_in_order_when_told_to(state: State, start: Start) -> None:
    process = start("waits")
    until(lambda: state.runs() and last_run(state)["text"] == "waiting")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == EXIT_STOPPED
    assert (last_run(state)["state"], last_run(state)["error"]) == (
        "killed", "It was told to stop.",
    )  # fmt: skip


def test_the_same_work_never_runs_twice(data: DataDir, state: State, start: Start) -> None:
    first = start("waits")
    until(lambda: state.runs() and last_run(state)["text"] == "waiting")
    # By the same name the state refuses it; under another name the lock does.
    code, said = finish(start("waits"))
    assert code == EXIT_TRY_LATER
    assert "already running" in said
    other = state.request_run("another", "waits", {}, "api")
    assert finish(start("another", run=other))[0] == EXIT_TRY_LATER
    assert f"(process {first.pid})" in state.run(other)["error"]  # type: ignore[index]
    first.kill()
    finish(first)
    with job_lock(data, "waits"):
        pass  # the kernel let go of it with the process


def test_a_killed_job_leaves_its_run_for_the_daemon_to_settle(state: State, start: Start) -> None:
    process = start("dies")
    assert finish(process)[0] == -signal.SIGKILL
    run = last_run(state)
    assert (run["state"], run["pid"]) == ("running", process.pid)


def test_a_job_dies_with_the_daemon_that_started_it(
    data: DataDir, state: State, tmp_path: Path
) -> None:
    paths = [str(tmp_path), *sys.path]
    daemon = (
        "import subprocess, sys, time, json; from pathlib import Path;"
        "from retaild.runtime.process import Child, child_environment;"
        f"root = Path({str(data.root)!r});"
        f"command = [sys.executable, '-c', {DRIVER.format(paths=paths)!r}, 'waits', "
        "'--data', str(root)];"
        "child = Child.spawn(command, child_environment(root, 1), root / 'job.log');"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", daemon], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    until(lambda: state.runs() and last_run(state)["text"] == "waiting")
    process.kill()
    process.communicate()
    until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_lock_can_be_waited_for(data: DataDir) -> None:
    asked = []

    def wait(error: JobRunningError) -> bool:
        asked.append(str(error))
        return len(asked) < 3

    with job_lock(data, "gold"), pytest.raises(JobRunningError), job_lock(data, "gold", wait):
        raise AssertionError("two have it")
    assert len(asked) == 3
    assert f"(process {os.getpid()})" in asked[0]


def test_two_models_may_train_at_once_but_never_the_same() -> None:
    assert work_name("train", {"trainer": "price"}) == "train-price"
    assert work_name("train", {}) == "train"
    assert work_name("gold", {"trainer": "price"}) == "gold"


def test_progress_is_written_now_and_then(data: DataDir, state: State) -> None:
    run_id = state.request_run("gold", "gold", {}, "test")
    assert run_id is not None
    progress = Progress(state, run_id)
    for step in range(1000):
        progress(step / 1000, "building")
    assert state.run(run_id)["progress"] < 0.9  # type: ignore[index]
    progress(2.0, "a new text is written at once")
    assert state.run(run_id)["progress"] == 1.0  # type: ignore[index]


def test_every_job_says_what_it_does() -> None:
    for name, kind in JOBS.items():
        assert kind.summary.endswith(".")
        assert kind.entry.startswith("retaild.runtime.jobs.")
        assert name == name.lower()
    with pytest.raises(UnknownJobError, match="refresh"):
        job_kind("nonsense")


def test_limits_have_sensible_defaults() -> None:
    limits = Limits.of("gold", {})
    assert (limits.nice, limits.threads) == (10, len(os.sched_getaffinity(0)))
    assert limits.memory_mib > 256
    assert Limits.of("gold", {"nice": "99", "threads": "0"}) == Limits(limits.memory_mib, 19, 1)
    with pytest.raises(WrongArgumentError, match="memory_mib"):
        Limits.of("gold", {"memory_mib": "-1"})
