"""The Java process behind a session: on loopback, and never longer there than who needs it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
from retaild_plugins.cluster.spark.config import SparkConfig
from retaild_plugins.cluster.spark.session import SESSIONS

from retaild.api import BuildContext

_OPEN = """
import sys, time
from pathlib import Path
from retaild.api import BuildContext
from retaild_plugins.cluster.spark.config import SparkConfig
from retaild_plugins.cluster.spark.session import SESSIONS
root, software = map(Path, sys.argv[1:])
context = BuildContext("x", root / "state", root / "lake", software_dir=software)
session = SESSIONS.acquire(SparkConfig(heap_mib=512), context)
session.range(3).count()
print("ready", flush=True)
time.sleep(600)
"""


def test_java_ends_when_its_process_is_killed(spark_context: BuildContext, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OPEN, str(tmp_path), str(spark_context.software_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        (java,) = psutil.Process(owner.pid).children()
        listening = [c.laddr.ip for c in java.net_connections() if c.status == "LISTEN"]
        owner.kill()
    until = time.monotonic() + 5
    while java.is_running() and java.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "Java lives on"
        time.sleep(0.02)
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_one_session_serves_all_of_a_process(spark_context: BuildContext) -> None:
    first = SESSIONS.acquire(SparkConfig(), spark_context)
    second = SESSIONS.acquire(SparkConfig(), spark_context)
    SESSIONS.release()
    SESSIONS.release()
    assert first is second
    assert first.range(2).count() == 2
