"""Finding plugins by entry point, ours and anyone's, without importing any."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from retaild.config.paths import DataDir
from retaild.host.environments import Launch, launch_in, site_of
from retaild.host.installed import plugins_dir, read_installed

GROUP = "retaild.plugins"
#: An entry "version-1" of this group says which plugin interface a distribution is written for,
#: before anything of it is imported.
INTERFACE_GROUP = "retaild.api"
#: The distribution whose plugins are the host's own.
OWN = "retaild"
#: Files of a package that are looked at to see whether it has changed.
_MAX_FILES = 500


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point and the distribution that brought it."""

    entry: EntryPoint
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A stranger's distribution: its entry points (name, module) and where its packages are."""

    distribution: str
    version: str
    entries: tuple[tuple[str, str], ...]
    #: Interfaces it says it is written for; empty if it does not say.
    interfaces: frozenset[int]
    launch: Launch
    #: Differs when its files do.
    stamp: str


def own_entries() -> list[Found]:
    """Entry points of the host's own plugins, by name."""
    try:
        own = metadata.distribution(OWN)
    except metadata.PackageNotFoundError:
        return _of_source_tree()
    entries = own.entry_points.select(group=GROUP)
    return sorted((Found(e, OWN, own.version) for e in entries), key=lambda f: f.entry.name)


def _of_source_tree() -> list[Found]:
    """Run from a checkout that was not installed, our own entry points are in pyproject.toml."""
    project_file = Path(__file__).parents[2] / "pyproject.toml"
    if not project_file.is_file():
        return []
    project = tomllib.loads(project_file.read_text("utf-8"))["project"]
    entries = sorted(project["entry-points"][GROUP].items())
    return [Found(EntryPoint(n, value, GROUP), OWN, project["version"]) for n, value in entries]


def strangers(data: DataDir | None) -> list[Origin]:
    """Distributions that bring plugins, by name: installed in `data`, or beside the host by pip.

    What is installed in `data` counts where both are there.
    """
    found = {plain(o.distribution): o for o in _beside_the_host()}
    if data is not None:
        found |= {plain(o.distribution): o for o in _installed(data)}
    return [found[name] for name in sorted(found) if name != OWN]


def plain(distribution: str) -> str:
    """A distribution's name in the one form that all its spellings share (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _beside_the_host() -> Iterator[Origin]:
    # By entry point first: that is quick; a distribution's other files are looked at only then.
    entries = metadata.entry_points(group=GROUP)
    found = {e.dist.name: e.dist for e in entries if e.dist is not None}
    for name, distribution in found.items():
        if plain(name) != OWN:
            yield origin_of(distribution, Launch())


def _installed(data: DataDir) -> Iterator[Origin]:
    for item in read_installed(data).values():
        version = item.current
        directory = plugins_dir(data) / version.directory
        found = distribution_in(site_of(directory, version), item.distribution)
        if found is not None:
            yield origin_of(found, launch_in(directory, version))


def distribution_in(site: Path, name: str) -> metadata.Distribution | None:
    """The distribution of that name whose files lie in `site`."""
    for found in metadata.distributions(path=[str(site)]):
        if plain(found.name) == plain(name):
            return found
    return None


def origin_of(found: metadata.Distribution, launch: Launch) -> Origin:
    entries = found.entry_points
    stated = (re.fullmatch(r"version-(\d+)", e.name) for e in entries.select(group=INTERFACE_GROUP))
    own = sorted((e.name, e.value) for e in entries.select(group=GROUP))
    modules = [value.partition(":")[0].strip() for _, value in own]
    return Origin(
        distribution=found.name,
        version=found.version,
        entries=tuple((name, module) for (name, _), module in zip(own, modules, strict=True)),
        interfaces=frozenset(int(match[1]) for match in stated if match),
        launch=launch,
        stamp=_stamp(found, modules, launch),
    )


def _stamp(found: metadata.Distribution, modules: list[str], launch: Launch) -> str:
    """Of names, sizes and times of its files: an editable installation changes without a record."""
    told = hashlib.sha256(repr((launch, found.version, found.read_text("RECORD"))).encode())
    for top in sorted({module.partition(".")[0] for module in modules}):
        for path in _files(top, launch):
            status = path.stat()
            told.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return told.hexdigest()


def _files(top: str, launch: Launch) -> list[Path]:
    """Python files of a top-level package or module. Finding it imports nothing."""
    if launch != Launch():
        return []  # what was installed there is never changed
    try:
        spec = find_spec(top) if top not in sys.modules else sys.modules[top].__spec__
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    packages = [Path(p) for p in spec.submodule_search_locations or ()]
    single = [Path(spec.origin)] if spec.origin and os.path.isfile(spec.origin) else []
    found = [file for package in packages for file in sorted(package.rglob("*.py"))]
    return (found or single)[:_MAX_FILES]
