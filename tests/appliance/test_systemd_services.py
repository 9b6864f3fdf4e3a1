"""A daemon and its servers as units of the real systemd, hardened as they are shipped."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.appliance.booted import Machine, base_root, booted, furnish

pytestmark = pytest.mark.slow

REDIS = "retaild-service@redis:redis.service"
CONFIGURATION = """
[service.redis]
plugin = "redis"
port = 6390
"""
#: What LimitRTPRIO= grants; systemd cannot raise that limit on a machine that has lost
#: CAP_SYS_RESOURCE, so that here the capability stands for it.
REALTIME = "[Service]\nAmbientCapabilities=CAP_SYS_NICE\nCapabilityBoundingSet=CAP_SYS_NICE\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A shop's machine whose daemon is ready and whose Redis answers."""
    base = base_root()
    folder = tmp_path_factory.mktemp("machine")
    root = folder / "root"
    subprocess.run(("cp", "-a", "--reflink=auto", str(base), str(root)), check=True)
    furnish(root, CONFIGURATION)
    drop_in = root / "etc/systemd/system/retaild.service.d"
    drop_in.mkdir()
    (drop_in / "realtime.conf").write_text(REALTIME)
    with booted(root) as machine:
        assert machine.run("systemd-sysusers").returncode == 0
        started = machine.run("systemctl", "start", "retaild.target", "retaild.service")
        assert started.returncode == 0, machine.run("journalctl", "-u", "retaild").stdout
        _until(lambda: _answered(machine) == 1)
        yield machine
    shutil.rmtree(folder, ignore_errors=True)


def _until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def _log(machine: Machine) -> str:
    path = machine.root / "var/lib/retaild/logs/service.redis.log"
    return path.read_text() if path.exists() else ""


def _answered(machine: Machine) -> int:
    """How often a keeper has found its server answering."""
    return _log(machine).count("it answers after")


def _shown(machine: Machine, unit: str, name: str) -> str:
    return machine.run("systemctl", "show", "-P", name, unit).stdout.strip()


def test_the_server_is_a_unit_with_the_limit_of_its_service(machine: Machine) -> None:
    assert _shown(machine, REDIS, "ActiveState") == "active"
    assert _shown(machine, REDIS, "User") == "retaild"
    # Redis states 320 MiB; the limit is twice that.
    assert int(_shown(machine, REDIS, "MemoryMax")) == 640 * 1024 * 1024
    status = machine.run("cat", f"/proc/{machine.main_pid(REDIS)}/status").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["CapBnd"], 16) == 0
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    told = machine.run("stat", "-c", "%a %U", "/run/retaild/services/redis:redis.json").stdout
    assert told.split() == ["600", "retaild"]
    assert "Ready to accept connections" in _log(machine)


def test_the_thread_that_answers_may_come_first(machine: Machine) -> None:
    def threads() -> list[str]:
        worker = machine.run("pgrep", "-u", "retaild", "-f", "worker serve").stdout.strip()
        return machine.run("ps", "-L", "-o", "cls=", "-p", worker).stdout.split()

    _until(lambda: threads().count("RR") == 1)  # it asks for it when it has read what it needs


def test_a_daemon_that_is_killed_finds_its_server_again(machine: Machine) -> None:
    server, daemon = machine.main_pid(REDIS), machine.main_pid("retaild")
    before = _answered(machine)
    machine.run("kill", "-KILL", str(daemon))
    _until(lambda: _answered(machine) == before + 1)
    assert machine.main_pid("retaild") not in (0, daemon)
    assert machine.main_pid(REDIS) == server
    assert f"redis runs already, as process {server}" in _log(machine)
    assert "is taken" not in _log(machine)


def test_a_server_that_is_killed_is_back(machine: Machine) -> None:
    server, before = machine.main_pid(REDIS), _answered(machine)
    machine.run("kill", "-KILL", str(server))
    _until(lambda: _answered(machine) == before + 1)
    assert machine.main_pid(REDIS) not in (0, server)
    assert "The server redis ended (killed by signal 9)" in _log(machine)


def test_the_account_may_do_nothing_to_other_units(machine: Machine) -> None:
    for command in (
        ("stop", "dbus.socket"), ("start", "rescue.service"), ("stop", "retaild.service"),
        ("daemon-reload",), ("set-property", "dbus.service", "MemoryMax=1M"), ("poweroff",),
    ):  # fmt: skip
        done = machine.run("systemctl", "--no-ask-password", *command, user="retaild")
        assert done.returncode, command
    # To the unit of a server it may.
    done = machine.run(
        "systemctl", "--no-ask-password", "kill", "--signal=CONT", REDIS, user="retaild"
    )
    assert done.returncode == 0, done.stderr


def test_stopping_the_target_leaves_nothing(machine: Machine) -> None:
    began = time.monotonic()
    assert machine.run("systemctl", "stop", "retaild.target").returncode == 0
    _until(lambda: not machine.main_pid("retaild"), 180.0)
    assert time.monotonic() - began < 60
    assert machine.main_pid(REDIS) == 0
    assert machine.run("pgrep", "-u", "retaild").stdout == ""
    assert machine.run("ls", "/run/retaild/services").stdout == ""
    assert _shown(machine, REDIS, "ActiveState") == "inactive"
    assert machine.run("systemctl", "--failed", "--no-legend").stdout == ""
