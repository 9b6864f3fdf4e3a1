"""A Debian of its own, booted with the real systemd as process 1 (systemd-nspawn), retaild in it.

What is installed there is this checkout and the Python that runs the tests, seen through read-only
mounts, the units, the polkit rule and the account as they are shipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
PROGRAMS = ("systemd-nspawn", "debootstrap", "nsenter")
_SUITE, _PACKAGES = "bookworm", "systemd,systemd-sysv,dbus,libpam-systemd,iproute2,procps,python3"
_BOOT_SECONDS = 60.0
#: systemd(1): halt at once, without going through its units.
_HALT = signal.SIGRTMIN + 13
_PYTHON = """#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=/opt/retaild/packages:/opt/retaild/source:/opt/retaild/source/plugins
exec /opt/python/bin/{name} "$@"
"""


class Machine:
    """`run` runs a command in it, as root."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root, self._leader = root, leader

    def run(self, *command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ("nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--",
             "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
             "runuser", "-u", user, "--", *command),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def main_pid(self, unit: str) -> int:
        """0 if it does not run."""
        return int(self.run("systemctl", "show", "-P", "MainPID", unit).stdout or 0)


def base_root() -> Path:
    """A Debian with polkit and Redis, fetched once and kept. Skips where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("it takes root to boot a system of its own")
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} (packages systemd-container, debootstrap)")
    root = Path.home() / ".cache" / "retaild" / "nspawn" / f"{_SUITE}-1"
    if root.is_dir():
        return root
    new = root.with_name("new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    _must(
        "debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(new), *_mirror()
    )
    (new / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (new / "usr/sbin/policy-rc.d").chmod(0o755)
    shutil.copyfile("/etc/resolv.conf", new / "etc/resolv.conf")
    install = (
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "
        "--no-install-recommends polkitd redis-server && systemctl mask redis-server"
    )
    _must("chroot", str(new), "sh", "-c", install)
    new.rename(root)
    return root


def _mirror() -> list[str]:
    """The one that this machine itself uses."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    lines = sources.read_text().splitlines() if sources.exists() else []
    return [line.split()[1] for line in lines if line.startswith("URIs:")][:1]


def _must(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]} failed here: {(done.stdout + done.stderr).strip()[-300:]}")


def furnish(root: Path, configuration: str) -> None:
    """As a package would; and what a machine has that debootstrap leaves out."""
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (root / "etc/hostname").write_text("shop\n")
    for path in ("usr/lib/retaild/bin", "opt/python", "opt/retaild/packages", "opt/retaild/source"):
        (root / path).mkdir(parents=True)
    (root / "etc/retaild").mkdir(mode=0o755)
    (root / "etc/retaild/retaild.toml").write_text(configuration)
    python = root / "usr/lib/retaild/bin/python"
    python.write_text(_PYTHON.format(name=Path(sys.base_prefix, "bin", "python3").resolve().name))
    python.chmod(0o755)
    shipped = HERE / "systemd"
    units = root / "etc/systemd/system"
    for path in (*shipped.glob("*.service"), *shipped.glob("*.target")):
        shutil.copyfile(path, units / path.name)
    (root / "etc/polkit-1/rules.d").mkdir(parents=True, exist_ok=True)
    rule = root / "etc/polkit-1/rules.d/50-retaild.rules"
    shutil.copyfile(shipped / "50-retaild.rules", rule)
    rule.chmod(0o644)
    (root / "usr/lib/sysusers.d").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shipped / "retaild.sysusers", root / "usr/lib/sysusers.d/retaild.conf")


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boots it, without a network but loopback; skips where systemd-nspawn cannot boot."""
    name = f"retaild-test-{os.getpid()}"
    groups = [p / name for p in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd",
                                           "/sys/fs/cgroup")) if _holds_groups(p)]  # fmt: skip
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    log = root.with_name("boot.log")
    # In a control group of its own, else it would share ours.
    script = 'for g in "$@"; do mkdir -p $g; echo $$ >$g/cgroup.procs; done; eval "exec $NSPAWN"'
    command = (
        f"systemd-nspawn -q -D {root} --machine={name} --register=no --keep-unit --boot "
        f"--console=pipe --private-network --capability=CAP_SYS_NICE "
        f"--bind-ro={sys.base_prefix}:/opt/python "
        f"--bind-ro={packages}:/opt/retaild/packages --bind-ro={HERE}:/opt/retaild/source"
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            ("sh", "-c", script, "sh", *map(str, groups)), env={**os.environ, "NSPAWN": command},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    leader = 0
    try:
        leader = _leader(process.pid)
        machine = Machine(root, leader)
        if not leader or not _is_up(machine):
            pytest.skip(f"systemd-nspawn does not boot here: {log.read_text()[-300:].strip()}")
        machine.run("ip", "link", "set", "lo", "up")
        yield machine
    finally:
        with suppress(ProcessLookupError):
            os.kill(leader or process.pid, _HALT if leader else signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for group in groups:
            for path in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                with suppress(OSError):
                    path.rmdir()
            with suppress(OSError):
                group.rmdir()


def _holds_groups(path: Path) -> bool:
    return (path / "cgroup.procs").exists()


def _leader(nspawn: int) -> int:
    """Process 1 of the machine, by its number here; 0 if there is none."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with suppress(OSError):
            for task in Path(f"/proc/{nspawn}/task").iterdir():
                for child in (task / "children").read_text().split():
                    if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                        return int(child)
        time.sleep(0.1)
    return 0


def _is_up(machine: Machine) -> bool:
    until = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < until:
        said = machine.run("systemctl", "is-system-running").stdout.strip()
        if said in ("running", "degraded"):
            return True
        time.sleep(0.3)
    return False
