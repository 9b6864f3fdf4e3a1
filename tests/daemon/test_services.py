"""Managed services under a real daemon, with a real server that starts in a blink."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from tests.daemon.conftest import Running, Start, alive, wait_for
from tests.daemon.test_reload import edit, reload

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="there is no redis-server (Debian: redis-server)"
)
SERVICE = '[service.redis]\nplugin = "redis"\nport = {port}\nmemory_mib = 32\n'
NAME = "service.redis"


def server_of(daemon: Running) -> int:
    """The process id of redis-server below the service's own process; 0 if there is none."""
    keeper = daemon.worker(NAME).get("pid")
    try:
        children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        found = [int(pid) for pid in children if _program(int(pid)) == "redis-server"]
    except OSError:
        return 0
    return found[0] if found else 0


def _program(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def answers(daemon: Running) -> bool:
    row = daemon.worker(NAME)
    return row.get("state") == "running" and (row["figures"] or {}).get("answers") == "yes"


def test_a_server_that_is_killed_is_started_again_alone(start: Start, port: int) -> None:
    daemon = start("ingest=steady", "stream=steady", config=SERVICE.format(port=port))
    wait_for(lambda: answers(daemon))
    daemon.wait_running("stream")
    stream, server = daemon.worker("stream")["pid"], server_of(daemon)
    figures = daemon.worker(NAME)["figures"]
    assert figures["listens"] == f"redis 127.0.0.1:{port}"
    assert figures["memory"] > 2**20
    os.kill(server, signal.SIGKILL)
    again = wait_for(lambda: (found := server_of(daemon)) != server and found)
    wait_for(lambda: answers(daemon))
    assert alive(again)
    row = daemon.worker(NAME)
    assert row["restarts"] >= 1
    assert "signal 9" in row["last_error"]
    assert daemon.worker("stream")["pid"] == stream


def test_a_reload_replaces_the_changed_service_alone(start: Start, port: int) -> None:
    daemon = start("ingest=steady", "stream=steady", config=SERVICE.format(port=port))
    wait_for(lambda: answers(daemon))
    daemon.wait_running("stream")
    stream, server = daemon.worker("stream")["pid"], server_of(daemon)
    edit(daemon, "memory_mib = 32", "memory_mib = 48")
    found = reload(daemon)
    assert found["state"] == "done", found
    assert found["touched"]["replaced"] == [NAME]
    wait_for(lambda: answers(daemon))
    assert server_of(daemon) != server
    assert not alive(server)
    assert daemon.worker("stream")["pid"] == stream
    conf = (daemon.data.root / "service" / "redis" / "redis.conf").read_text()
    assert f"maxmemory {48 * 2**20}" in conf


def test_nothing_outlives_a_killed_daemon(start: Start, port: int) -> None:
    daemon = start("ingest=steady", config=SERVICE.format(port=port))
    wait_for(lambda: answers(daemon))
    server = server_of(daemon)
    assert alive(server)
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    wait_for(lambda: not alive(server))


def test_nothing_outlives_a_killed_keeper(start: Start, port: int) -> None:
    daemon = start("ingest=steady", config=SERVICE.format(port=port))
    wait_for(lambda: answers(daemon))
    server, keeper = server_of(daemon), daemon.worker(NAME)["pid"]
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: not alive(server))
    wait_for(lambda: answers(daemon) and server_of(daemon) not in (0, server))


def test_a_taken_port_is_told_and_tried_again(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        daemon = start("ingest=steady", config=SERVICE.format(port=port))
        said = wait_for(lambda: daemon.worker(NAME).get("last_error"))
        assert f"Port {port}" in said
        assert f"Process {os.getpid()}" in said
    wait_for(lambda: answers(daemon), 40)


def test_an_orderly_stop_lets_the_server_close_its_store(start: Start, port: int) -> None:
    daemon = start("ingest=steady", config=SERVICE.format(port=port))
    wait_for(lambda: answers(daemon))
    server = server_of(daemon)
    daemon.ask("stop")
    assert daemon.process.wait(30) == 0
    assert not alive(server)
    log = daemon.data.worker_log(NAME).read_text()
    assert "bye bye" in log
    assert "killed" not in log
