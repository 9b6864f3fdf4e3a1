"""What packaging/appliance/prerequisites.sh would install; its apt-get here only takes notes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "packaging/appliance/prerequisites.sh"


class Machine:
    """A path on which nothing is but what a test puts there, and the shell's own tools."""

    def __init__(self, root: Path) -> None:
        self.bin, self.notes = root / "bin", root / "notes"
        self.bin.mkdir()
        for tool in ("sed", "head", "grep", "mktemp", "rm", "cat", "tail", "printf", "chmod"):
            (self.bin / tool).symlink_to(f"/usr/bin/{tool}")
        # It notes what it is told, and whether servers that it installs would be started.
        self.put("apt-get", f'echo "$*" >>{self.notes}; [ -x "$POLICY_RC_D" ]')
        self.put("python3", "exit 0")

    def put(self, name: str, does: str = "exit 0") -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)

    def java(self, version: str) -> None:
        self.put("javac")
        self.put("java", f"echo 'openjdk version \"{version}\"' >&2")

    def run(self, *words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        self.put("id", f"echo {user}")
        return subprocess.run(
            ["/bin/sh", SCRIPT, *words], capture_output=True, text=True, check=False,
            env={"PATH": str(self.bin), "POLICY_RC_D": str(self.bin.parent / "policy-rc.d")},
        )  # fmt: skip

    @property
    def installed(self) -> set[str]:
        """Packages that apt-get was told to install."""
        if not self.notes.exists():
            return set()
        (line,) = [one for one in self.notes.read_text().splitlines() if one.startswith("install")]
        return {word for word in line.split()[1:] if not word.startswith("-")}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_root_gets_what_is_missing_and_no_server_is_started(
    machine: Machine, tmp_path: Path
) -> None:
    machine.java("17.0.9")
    machine.put("setpriv")
    assert machine.run("appliance").returncode == 0
    assert machine.installed - {"libgomp1"} == {"maven", "redis-server"}
    assert not (tmp_path / "policy-rc.d").exists()


def test_an_old_java_is_no_java(machine: Machine) -> None:
    machine.java("11.0.22")
    for program in ("mvn", "redis-server", "setpriv"):
        machine.put(program)
    assert machine.run().returncode == 0
    assert machine.installed - {"libgomp1"} == {"openjdk-17-jdk-headless"}


def test_nothing_is_installed_where_all_is_there(machine: Machine) -> None:
    machine.java("21.0.1")
    for program in ("mvn", "redis-server", "setpriv"):
        machine.put(program)
    assert machine.run().returncode == 0
    assert machine.installed <= {"libgomp1"}


def test_others_are_told_the_command(machine: Machine) -> None:
    machine.java("17.0.9")
    machine.put("setpriv")
    done = machine.run(user=1000)
    assert done.returncode == 1
    assert "As root: apt-get install" in done.stderr
    assert "maven redis-server" in done.stderr
    assert machine.installed == set()


def test_an_apt_that_fails_is_shown(machine: Machine) -> None:
    machine.put("apt-get", "echo 'E: no such package'; exit 100")
    done = machine.run()
    assert done.returncode == 1
    assert "E: no such package" in done.stderr


def test_the_tests_need_more(machine: Machine) -> None:
    machine.java("17.0.9")
    assert machine.run("tests").returncode == 0
    assert {"chromium", "mosquitto", "iproute2", "maven", "util-linux"} <= machine.installed
    assert machine.run("nothing").returncode == 2
