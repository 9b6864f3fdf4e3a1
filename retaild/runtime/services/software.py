"""Fetches the software of services and engines: `<software dir>/<name>/<version>-<digest>`.

It is linked to as `current` when all of it is there: a fetch that was cut off is begun anew, and
who uses the old one meanwhile is not disturbed. (It is made in its final place, because Python
environments hold their own path.)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import Literal

from retaild.api.errors import RetaildError
from retaild.api.service import Build, Debian, Maven, Pip, Software

#: Told what is being done, in a line.
Report = Callable[[str], None]
Step = Maven | Pip | Debian | Build

#: In a home that is whole.
COMPLETE = ".complete"
_MIB = 1024 * 1024
#: One call of Maven, pip or apt may take so long (seconds): large archives, slow lines.
LIMIT_SECONDS = 3600.0


class InstallError(RetaildError):
    key = "service.install"

    def __init__(self, software: Software, what: str, said: str, hint: str = "") -> None:
        super().__init__(
            f"The software of {software.name} cannot be installed: {what}: {said}",
            hint=hint or "Nothing has changed. Run the command again when that is mended.",
        )


def install(software: Software, directory: Path, report: Report = lambda _line: None) -> Path:
    """Make `<directory>/<name>/current` the software as it is pinned; its home.

    What is there already is left as it is. Two processes may ask for the same one. Raises
    InstallError.
    """
    base = directory / software.name
    base.mkdir(parents=True, exist_ok=True)
    with _locked(base / ".lock", lambda: report(f"{software.name} is being installed already")):
        home = base / _version(software)
        if not (home / COMPLETE).exists() or not _programs_are_there(software):
            _make(software, home, report)
        _point(base / "current", home)
        _clear(base, home)
    return home


def shelf(software: Software, directory: Path) -> Literal["installed", "other", "missing"]:
    """Whether it is there as it is pinned, with other pins, or not at all."""
    if not _programs_are_there(software):
        return "missing"
    # Packages of the operating system are there, whoever installed them.
    if software.steps and all(isinstance(step, Debian) for step in software.steps):
        return "installed"
    current = directory / software.name / "current"
    if not current.is_dir():
        return "missing"
    pinned = directory / software.name / _version(software)
    return "installed" if os.path.realpath(current) == os.path.realpath(pinned) else "other"


def is_installed(software: Software, directory: Path) -> bool:
    """Whether it is there as it is pinned."""
    return shelf(software, directory) == "installed"


def _programs_are_there(software: Software) -> bool:
    return all(_program(step.program) for step in software.steps if isinstance(step, Debian))


def _version(software: Software) -> str:
    """Another one when any pin of it changes."""
    digest = hashlib.sha256(software.version.encode())
    for step in software.steps:
        digest.update(type(step).__name__.encode())
        for part in _ingredients(step):
            digest.update(part)
    return f"{software.version}-{digest.hexdigest()[:10]}"


def _ingredients(step: Step) -> Iterator[bytes]:
    if isinstance(step, Maven):
        yield from (step.pom.read_bytes(), step.folder.encode())
    elif isinstance(step, Pip):
        own = sys.version if step.environment else ""
        yield from (step.requirements.read_bytes(), step.folder.encode(), own.encode())
    elif isinstance(step, Build):
        yield from (path.read_bytes() for path in step.inputs)


def _make(software: Software, home: Path, report: Report) -> None:
    _check_space(software, home.parent)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    try:
        for step in software.steps:
            run_step(step, software, home, report)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    (home / COMPLETE).touch()


def _check_space(software: Software, directory: Path) -> None:
    free = shutil.disk_usage(directory).free // _MIB
    if free < software.disk_mib:
        raise InstallError(
            software, "the disk is too full",
            f"it takes {software.disk_mib} MiB in {directory}, {free} MiB are free.",
            "Make room, or set retaild.software_dir to another disk.",
        )  # fmt: skip


@singledispatch
def run_step(step: object, software: Software, home: Path, report: Report) -> None:
    raise TypeError(f"{type(step).__name__} is no step")


@run_step.register
def _maven(step: Maven, software: Software, home: Path, report: Report) -> None:
    report(f"{software.name} {software.version}: Maven fetches {step.pom.name}")
    if shutil.which("mvn") is None:
        hint = "Install Maven and Java: apt-get install maven openjdk-17-jre-headless."
        raise InstallError(software, "there is no Maven", "`mvn` is not found.", hint)
    out = home / step.folder
    out.mkdir(parents=True, exist_ok=True)
    # Maven writes beside the pom, which may lie where nobody may write.
    pom = Path(shutil.copyfile(step.pom, _scratch(home) / "pom.xml"))
    _call(software, ["mvn", "-B", "-q", "-f", str(pom), "package", f"-Dout={out}"], home)


@run_step.register
def _pip(step: Pip, software: Software, home: Path, report: Report) -> None:
    report(f"{software.name} {software.version}: pip installs {step.requirements.name}")
    target = home / step.folder
    python = sys.executable
    if step.environment:
        venv.create(target, with_pip=True)
        python = str(target / "bin/python")
    into = [] if step.environment else ["--target", str(target)]
    options = ["--no-input", "--disable-pip-version-check", "-q", "--no-deps", "--require-hashes"]
    command = [python, "-P", "-m", "pip", "install", *options, *into]
    _call(software, [*command, "-r", str(step.requirements)], home)


@run_step.register
def _debian(step: Debian, software: Software, home: Path, report: Report) -> None:
    if _program(step.program):
        return
    command = f"apt-get install --no-install-recommends {step.package}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        hint = f"Ask who administers this machine to run: {command}"
        raise InstallError(
            software, "a package is missing", f"`{step.program}` is not found.", hint
        )
    report(f"{software.name}: {command}")
    with _nothing_starts():
        _call(software, ["apt-get", "update", "-qq"], home)
        _call(software, [*command.split(), "-y", "-qq"], home)


@run_step.register
def _build(step: Build, software: Software, home: Path, report: Report) -> None:
    report(f"{software.name} {software.version}: building")
    try:
        step.run(home)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise InstallError(software, "its build failed", _last_words(said)) from error


def _program(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """What the package manager installs is not started by it: retaild starts its own."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n", "ascii")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def _call(software: Software, command: Sequence[str], home: Path) -> None:
    environment = {
        **os.environ, "DEBIAN_FRONTEND": "noninteractive", "PIP_ROOT_USER_ACTION": "ignore",
        "TMPDIR": str(_scratch(home)),
    }  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_SECONDS, env=environment,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(software, command[0], str(error)) from error
    finally:
        shutil.rmtree(_scratch(home), ignore_errors=True)
    if done.returncode:
        raise InstallError(software, command[0], _last_words(done.stdout + done.stderr))


def _scratch(home: Path) -> Path:
    """Large archives are unpacked on the disk that has the room, not in /tmp."""
    path = home / ".tmp"
    path.mkdir(exist_ok=True)
    return path


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or line.startswith("E:")]
    return " ".join(errors[:3] or lines[-3:])[:1000] or "it said nothing."


def _point(link: Path, home: Path) -> None:
    """Replace the link in one step; relative, so that the directory can be moved."""
    new = link.with_name(".current.new")
    new.unlink(missing_ok=True)
    new.symlink_to(home.name)
    new.replace(link)


def _clear(base: Path, home: Path) -> None:
    """Remove what is neither current nor the one before it, which may be running still."""
    kept = {home.name, "current", ".lock"}
    others = [path for path in base.iterdir() if path.name not in kept]
    whole = [path for path in others if (path / COMPLETE).exists()]
    newest = max(whole, key=lambda path: path.stat().st_mtime, default=None)
    for path in others:
        if path != newest:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
