"""The daemon with real processes: what is killed comes back, what ends leaves nothing behind."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retaild.runtime.control import NotRunningError, RefusedError, is_running

# pytest's importlib mode has no packages: helpers come through fixtures of conftest.py.
Start = Callable[..., Any]


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"not within {seconds} s")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_worker_comes_back_at_once(start: Start) -> None:
    daemon = start("alpha=steady", "beta=steady")
    daemon.wait_running("alpha", "beta")
    before, other = daemon.worker("alpha")["pid"], daemon.worker("beta")["pid"]
    os.kill(before, signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: daemon.worker("alpha").get("pid") not in (None, before))
    assert time.monotonic() - killed < 0.3
    daemon.wait_running("alpha")
    row = daemon.worker("alpha")
    assert (row["restarts"], row["last_error"]) == (1, "killed by SIGKILL")
    assert daemon.worker("beta")["pid"] == other


def test_sigterm_stops_in_order_and_leaves_nothing(start: Start) -> None:
    """Doors first, the stream last; exit code 0 within ten seconds."""
    daemon = start("stream=steady", "ingest=steady", "serve=steady")
    daemon.wait_running("stream", "ingest", "serve")
    pids = [daemon.worker(name)["pid"] for name in ("stream", "ingest", "serve")]
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(10) == 0
    assert time.monotonic() - began < 10
    assert not any(alive(pid) for pid in pids)
    stopped = [line.split()[1] for line in daemon.notes() if line.endswith("stopped")]
    assert sorted(stopped[:2]) == ["ingest", "serve"]
    assert stopped[2:] == ["stream"]
    with pytest.raises(NotRunningError):
        daemon.ask("status")


def test_a_stubborn_worker_does_not_keep_the_daemon(start: Start) -> None:
    daemon = start("serve=stubborn", "stream=steady")
    daemon.wait_running("serve", "stream")
    pid = daemon.worker("serve")["pid"]
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(10) == 0
    assert not alive(pid)


def test_a_killed_daemon_leaves_no_orphans_and_the_next_start_is_clean(start: Start) -> None:
    """The worker dies with the daemon; its helper, which fled, is swept at the next start."""
    daemon = start("alpha=with_grandchild", "beta=steady")
    daemon.wait_running("alpha", "beta")
    pids = [daemon.worker(name)["pid"] for name in ("alpha", "beta")]
    helper = int(wait_for(lambda: "".join(daemon.notes("grandchild"))))
    run = daemon.ask("run-job", job="gold", arguments={"what": "60"})["run_id"]
    wait_for(lambda: daemon.notes("jobs"))
    job = int(daemon.notes("jobs")[0].split()[-1])
    daemon.process.kill()
    daemon.process.wait()
    wait_for(lambda: not any(alive(pid) for pid in [*pids, job]), 5)

    again = start("alpha=steady")
    again.wait_running("alpha")
    assert not alive(helper)
    assert again.worker("beta") == {}
    assert again.wait_run(run)["state"] == "killed"
    assert "daemon ended while this ran" in again.wait_run(run)["error"]
    assert again.wait_run(again.ask("run-job", job="gold")["run_id"])["state"] == "succeeded"


def test_one_daemon_per_directory(start: Start) -> None:
    daemon = start("alpha=steady")
    daemon.wait_running("alpha")
    second = start("alpha=steady")
    assert second.process.wait(15) != 0
    text = second.output.read_text()
    assert f"already runs on {daemon.data.root} (process {daemon.process.pid})" in text
    assert daemon.status()["daemon"]["pid"] == daemon.process.pid


def test_a_hung_worker_is_ended_and_the_log_says_where_it_hung(start: Start) -> None:
    daemon = start("alpha=hanging", hung=3)
    daemon.wait_running("alpha")
    before = daemon.worker("alpha")["pid"]
    wait_for(lambda: daemon.worker("alpha").get("pid") not in (None, before), 12)
    assert daemon.worker("alpha")["last_error"] == "no sign of life for 3 s"
    log = daemon.data.worker_log("alpha").read_text()
    assert "in hanging" in log


def test_a_crashing_worker_is_given_growing_pauses(start: Start) -> None:
    daemon = start("alpha=crashing", "beta=steady")
    daemon.wait_running("beta")
    wait_for(lambda: daemon.worker("alpha").get("restarts", 0) >= 3)
    row = daemon.worker("alpha")
    assert row["last_error"] == "RuntimeError: bang"
    times = [float(line.split()[0]) for line in daemon.notes() if "alpha" in line]
    assert len(times) <= 6
    assert "RuntimeError: bang" in daemon.data.worker_log("alpha").read_text()


def test_a_restart_that_was_asked_for(start: Start) -> None:
    daemon = start("alpha=steady")
    daemon.wait_running("alpha")
    before = daemon.worker("alpha")["pid"]
    daemon.ask("restart-worker", worker="alpha")
    wait_for(lambda: daemon.worker("alpha").get("pid") not in (None, before))
    assert any("alpha stopped" in line for line in daemon.notes())
    with pytest.raises(RefusedError, match="no worker 'gamma'") as raised:
        daemon.ask("restart-worker", worker="gamma")
    assert raised.value.key == "worker.unknown"


def test_a_job_never_runs_twice_at_once(start: Start) -> None:
    daemon = start()
    wait_for(daemon.status)
    first = daemon.ask("run-job", job="gold", arguments={"what": "0.5"})["run_id"]
    with pytest.raises(RefusedError) as raised:
        daemon.ask("run-job", job="gold")
    assert raised.value.key == "job.busy"
    assert raised.value.details["run_id"] == first
    heavy = daemon.ask("run-job", job="compact")["run_id"]
    light = daemon.ask("run-job", job="trim")["run_id"]
    run = daemon.wait_run(first)
    assert (run["state"], run["result"]) == ("succeeded", {"nice": 10})
    assert daemon.wait_run(heavy)["state"] == "succeeded"
    assert daemon.wait_run(light)["state"] == "succeeded"
    order = [line.rsplit(" ", 1)[0] for line in daemon.notes("jobs")]
    # The other heavy job waited for the first; the light one did not.
    assert order.index("compact begins") > order.index("gold ends")
    assert order.index("trim begins") < order.index("gold ends")


def test_jobs_that_end_badly_say_so(start: Start) -> None:
    daemon = start(config="[job.gold]\ntimeout_seconds = 10\n")
    wait_for(daemon.status)
    silent = daemon.wait_run(
        daemon.ask("run-job", job="gold", arguments={"what": "silent"})["run_id"]
    )
    assert silent["state"] == "failed"
    assert "without a result (exit code 3)" in silent["error"]
    run_id = daemon.ask("run-job", job="gold", arguments={"what": "60"})["run_id"]
    pid = wait_for(lambda: (daemon.status()["running"] or [{}])[0].get("pid"))
    os.kill(pid, signal.SIGKILL)
    killed = daemon.wait_run(run_id)
    assert (killed["state"], killed["error"]) == ("killed", "It was killed by SIGKILL.")
    with pytest.raises(RefusedError, match="Did you mean 'gold'"):
        daemon.ask("run-job", job="golf")


def test_a_waiting_run_survives_the_daemon(start: Start) -> None:
    daemon = start()
    wait_for(daemon.status)
    daemon.ask("run-job", job="gold", arguments={"what": "60"})
    waiting = daemon.ask("run-job", job="compact")["run_id"]
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(10) == 0
    again = start()
    assert again.wait_run(waiting)["state"] == "succeeded"


def test_a_missed_time_is_made_up_for_once(start: Start) -> None:
    """Due several times while nothing ran: one run at the start."""
    daemon = start(config="[job.gold]\nevery_seconds = 3600\n")
    wait_for(daemon.status)
    assert daemon.notes("jobs") == []
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.wait(10)

    _let_time_pass(daemon.data.schedule_db, timedelta(hours=3))
    again = start()
    runs = wait_for(lambda: [line for line in again.notes("jobs") if "gold ends" in line])
    status = again.status()
    (gold,) = [job for job in status["jobs"] if job["name"] == "gold"]
    time.sleep(0.5)
    assert len([line for line in again.notes("jobs") if "gold begins" in line]) == len(runs) == 1
    assert gold["last_run"]["state"] in ("running", "succeeded")
    assert 0 < gold["next_run"] - time.time() <= 3600


def _let_time_pass(schedule: Path, time_passed: timedelta) -> None:
    """As if the schedule had been written so much earlier."""
    with sqlite3.connect(schedule) as connection:
        for name, stored in connection.execute("SELECT id, job_state FROM apscheduler_jobs"):
            state = pickle.loads(stored)
            state["next_run_time"] -= time_passed
            connection.execute(
                "UPDATE apscheduler_jobs SET next_run_time = ?, job_state = ? WHERE id = ?",
                [state["next_run_time"].timestamp(), pickle.dumps(state), name],
            )
    connection.close()


def test_the_control_socket_is_the_owners_alone(start: Start) -> None:
    daemon = start()
    wait_for(daemon.status)
    assert stat.S_IMODE(daemon.data.socket.stat().st_mode) == 0o600
    # Nonsense and silence do no harm.
    for sent in (
        b"\n",
        b"{}\n",
        b'{"command": 5}\n',
        b"[]\n",
        b"\xff\xfe\n",
        b'{"command": "no"}\n',
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(daemon.data.socket))
            connection.sendall(sent)
            assert b'"control.unknown"' in connection.recv(65536)
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(str(daemon.data.socket))
    assert is_running(daemon.data)
    silent.close()


def test_stop_by_command(start: Start) -> None:
    daemon = start("alpha=steady")
    daemon.wait_running("alpha")
    assert daemon.ask("stop")["pid"] == daemon.process.pid
    assert daemon.process.wait(10) == 0
    assert not daemon.data.socket.exists()


def test_systemd_is_told(start: Start, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(15)
    daemon = start("alpha=steady", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
    heard: list[str] = []
    while not any("READY=1" in text for text in heard):
        heard.append(listener.recv(4096).decode())
    daemon.wait_running("alpha")
    while heard.count("WATCHDOG=1") < 3:
        heard.append(listener.recv(4096).decode())
    daemon.process.send_signal(signal.SIGTERM)
    while "STOPPING=1" not in heard:
        heard.append(listener.recv(4096).decode())
    daemon.process.wait(10)
    listener.close()


def test_the_daemon_is_light(start: Start) -> None:
    daemon = start("alpha=steady")
    daemon.wait_running("alpha")
    maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    for library in ("pyarrow", "numpy", "pandas", "duckdb", "lightgbm", "deltalake", "polars"):
        assert f"/{library}/" not in maps
    assert daemon.status()["daemon"]["rss_bytes"] < 100 * 1024 * 1024


def test_what_the_daemon_imports() -> None:
    heavy = ("pandas", "pyarrow", "numpy", "duckdb", "fastapi", "deltalake", "polars", "mlflow",
             "feast", "sklearn", "lightgbm", "scipy", "rich", "uvicorn", "jinja2")  # fmt: skip
    script = (
        "import sys; from retaild.daemon.service import Daemon; from retaild.host.check import *; "
        "from retaild.config.settings import Settings; check_instances(Settings()); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'plugins'}"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
