"""Kind `managed service`: a server that retaild fetches, configures, starts, watches and stops.

A service runs in a process of its own, its *keeper*, which starts the server's processes (as its
children, or as units of systemd) and asks again and again whether they answer. What the server
needs of the disk is fetched beforehand (`retaildctl service install`), never while the shop is
open.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from retaild.api.base import Spec
from retaild.api.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Maven:
    """`mvn package` on a pom whose plugins put jars below the property `out`.

    Versions are pinned in the pom; what it fetches goes to `<home>/<folder>`.
    """

    pom: Path
    folder: str = "jars"


@dataclass(frozen=True, slots=True)
class Pip:
    """Python packages by a requirements file with hashes, below `<home>/<folder>`.

    `environment`: as a virtual environment of its own, else as a folder for `sys.path`.
    """

    requirements: Path
    folder: str = "python"
    environment: bool = False


@dataclass(frozen=True, slots=True)
class Debian:
    """A package of the operating system; there once `program` is found."""

    package: str
    program: str


@dataclass(frozen=True, slots=True)
class Build:
    """A last step of our own: called with the home, in the process that installs."""

    run: Callable[[Path], None] = field(repr=False)
    #: Files whose change asks for a new build.
    inputs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Software:
    """What must be on the disk, under one name that several plugins may use.

    It lies in `<software dir>/<name>/current`, a link that is set when every step has worked, so
    that a fetch that was cut off is never taken for a whole one.
    """

    name: str
    version: str
    steps: tuple[Maven | Pip | Debian | Build, ...]
    #: What it takes on the disk, about, in MiB; people are told before it is fetched.
    disk_mib: int = 0


class MissingSoftwareError(ConfigError):
    """Nothing is fetched behind people's backs: they are told the command."""

    key = "service.software"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The software of {name} is not installed.",
            hint=f"Run `retaildctl service install {name}`.",
        )


def software_home(software_dir: Path, name: str) -> Path:
    """Where the software called `name` lies. Raises MissingSoftwareError."""
    home = software_dir / name / "current"
    if not home.is_dir():
        raise MissingSoftwareError(name)
    return Path(os.path.realpath(home))


def password_file(state_dir: Path) -> Path:
    """Where a service keeps the password that retaild's own clients use."""
    return state_dir / "secrets" / "password"


def make_password(state_dir: Path) -> str:
    """That password; made when there is none. Only the owner can read the file, at any moment."""
    path = password_file(state_dir)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text("utf-8").strip()


def write_private(path: Path, text: str) -> None:
    """Replace a file that holds a secret, as a whole."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service listens."""

    name: str
    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """One process of a service. What it prints becomes the service's log.

    Passwords are in files that it reads, never in `command` or `environment`.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    #: Ends by SIGTERM; it is killed after so many seconds.
    stop_seconds: float = 15.0
    #: It may be started again alone when it ends, while the service's other servers go on.
    alone: bool = False


#: What the admin page shows of a service: name of a figure -> its value.
Figures = Mapping[str, float | str]


class Service(Protocol):
    """A server's configuration and probe; starting, watching and stopping are the host's."""

    def open(self) -> None:
        """Render the configuration; make, or upgrade, the store. As often as one likes.

        Its servers may run already, where systemd has kept them while the daemon was killed.
        """

    def servers(self) -> Sequence[Server]:
        """Its processes in the order of their start; none if it is somebody else's server."""

    def endpoints(self) -> Sequence[Endpoint]:
        """Where it listens; before a start each must be free."""

    def probe(self) -> Figures:
        """Ask whether it works, within 5 s; with its figures if it does.

        Raises TransientError, with what it said, while it does not.
        """

    def close(self) -> None:
        """Let go of clients; also after a failed `open`. The processes have ended already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec(Spec):
    """Registers a managed service. `build` returns a Service."""

    #: Plugins of services that start before it and stop after it, where they are configured.
    after: tuple[str, ...] = ()
    #: Least version of Java; 0: none.
    java: int = 0
    #: Memory of all its processes together, in MiB, with its default settings: what is planned
    #: with, and, doubled, the limit unless the instance states its own.
    memory_mib: int = 256
