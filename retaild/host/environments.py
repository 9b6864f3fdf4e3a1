"""Where a plugin's packages are: beside the host's, or in a Python environment of its own.

Whoever starts a component's process asks `launch_of`. Costs the standard library and one small
file; imports nothing of the plugin.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from retaild.config.paths import DataDir
from retaild.host.installed import InstalledVersion, plugins_dir, provided, read_installed

#: Kinds whose components have processes of their own, which may therefore run in another Python
#: environment. The others work in the host's processes, with the host's packages.
ISOLATED_KINDS = frozenset({"source", "alert", "identity", "service"})


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the process of one plugin's component.

    Neither: a plain fork. `path`: a fork that puts these directories before its `sys.path`.
    `python`: spawned, with this interpreter, which finds the plugin's packages by itself, and
    `retaild` with all it needs too.
    """

    python: Path | None = None
    path: tuple[str, ...] = ()


def launch_of(kind: str, plugin: str, data: DataDir) -> Launch:
    """How to start a component of this plugin. What is not installed in `data` is the host's."""
    for item, one in provided(read_installed(data)):
        if (one.kind, one.name) == (kind, plugin):
            return launch_in(plugins_dir(data) / item.current.directory, item.current)
    return Launch()


def launch_in(directory: Path, version: InstalledVersion) -> Launch:
    """The same for a version whose files lie in `directory` (`site/` or `venv/` below it)."""
    if version.way == "environment":
        return Launch(python=directory / "venv/bin/python")
    return Launch(path=(str(directory / "site"),))


def site_of(directory: Path, version: InstalledVersion) -> Path:
    """The directory that holds the version's packages."""
    if version.way == "environment":
        return venv_site(directory / "venv")
    return directory / "site"


def venv_site(venv: Path) -> Path:
    major, minor = sys.version_info[:2]
    return venv / f"lib/python{major}.{minor}/site-packages"
