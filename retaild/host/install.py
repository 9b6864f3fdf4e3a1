"""Installing, upgrading and removing a plugin's distribution while the appliance runs.

Everything is laid out and looked at beside what is in use; one atomic write of `installed.json`
then makes it count. What fails before that leaves no trace.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host import pip
from retaild.host.catalog import Inspected, examine
from retaild.host.check import refused_settings
from retaild.host.discovery import distribution_in, origin_of, plain
from retaild.host.environments import launch_in, site_of, venv_site
from retaild.host.errors import PluginInUseError, PluginNotInstalledError, PluginRefusedError
from retaild.host.host_path import host_path
from retaild.host.installed import (
    InstalledPlugin,
    InstalledVersion,
    Provided,
    plugins_dir,
    read_installed,
    write_installed,
)
from retaild.host.registry import PluginRegistry
from retaild.host.requirements import Needs, needs_of, refuse_environment
from retaild.host.wheel import Wheel, read_wheel

#: Versions kept to go back to, the one in use among them.
KEPT = 3


@dataclass(frozen=True, slots=True)
class Change:
    """What an operation did: the distribution before and after; None where it was or is absent."""

    distribution: str
    before: InstalledPlugin | None
    after: InstalledPlugin | None
    #: Why it has an environment of its own; empty if it has none.
    reason: str = ""


def install(
    data: DataDir,
    settings: Settings | None,
    what: str,
    options: Sequence[str] = (),
    *,
    upgrade: bool = False,
) -> Change:
    """Install a wheel, or a name that pip finds; `upgrade`: of what is installed already.

    `settings`: those of the appliance, whose instances an upgrade must not break. Blocks for as
    long as pip takes. Raises RetaildError with the reason; then nothing has changed.
    """
    with _locked(data), _scratch(data) as scratch:
        path = Path(what)
        if path.suffix != ".whl":
            path = pip.download(what, scratch, options)
        wheel = read_wheel(path)
        before = read_installed(data).get(plain(wheel.name))
        if (same := _same(wheel, before, upgrade)) is not None:
            return Change(same.distribution, before, same)
        needs = needs_of(wheel, options)
        made = _lay_out(wheel, needs, scratch / "new", options)
        inspected = _look(scratch / "new", made)
        kinds = {one.kind for one in inspected.plugins}
        if needs.way == "environment":
            refuse_environment(wheel, kinds, needs.reason)
        _refuse_taken(data, inspected, plain(wheel.name))
        if before is not None:
            _refuse_breaking(settings, before, inspected)
        version = replace(made, provides=_provides(inspected))
        after = _activate(data, version, before, plain(wheel.name), scratch / "new")
        return Change(after.distribution, before, after, needs.reason)


def _same(wheel: Wheel, before: InstalledPlugin | None, upgrade: bool) -> InstalledPlugin | None:
    """What is installed, if it is just this wheel; raises what speaks against another one."""
    if before is None:
        if upgrade:
            raise PluginNotInstalledError(plain(wheel.name))
        return None
    known = {item.version: item.wheel for item in before.versions}
    if known.get(wheel.version, wheel.sha256) != wheel.sha256:
        hint = "Give the changed one a new version number."
        why = "that version is installed already, with other contents"
        raise PluginRefusedError(wheel.name, wheel.version, why, hint)
    if before.active == wheel.version:
        return before
    if not upgrade:
        hint = f"Use `retaildctl plugin upgrade {wheel.path}`."
        why = f"version {before.active} of it is installed already"
        raise PluginRefusedError(wheel.name, wheel.version, why, hint)
    return None


def _lay_out(
    wheel: Wheel, needs: Needs, directory: Path, options: Sequence[str]
) -> InstalledVersion:
    """Its files, and those of what it needs, below `directory`."""
    directory.mkdir(mode=0o755)
    if needs.way == "environment":
        _make_environment(directory / "venv")
    made = InstalledVersion(
        version=wheel.version,
        way=needs.way,
        directory=f"{plain(wheel.name)}/{wheel.version}",
        provides=(),
        packages={**needs.missing, wheel.name: wheel.version},
        wheel=wheel.sha256,
        installed_at=time.time(),
    )
    exact = [f"{name}=={version}" for name, version in needs.missing.items()]
    pip.install([str(wheel.path), *exact], site_of(directory, made), options)
    return made


def _make_environment(venv: Path) -> None:
    """Its own packages come first, the host's after them."""
    from venv import EnvBuilder

    EnvBuilder(with_pip=False, symlinks=True).create(venv)
    (venv_site(venv) / "_host.pth").write_text("\n".join(host_path()) + "\n", "utf-8")


def _look(directory: Path, version: InstalledVersion) -> Inspected:
    """What it brings. Raises PluginRefusedError if any of it cannot be used."""
    name = version.directory.partition("/")[0]
    found = distribution_in(site_of(directory, version), name)
    if found is None:
        why = "its files are not what its name says"
        raise PluginRefusedError(name, version.version, why)
    inspected = examine(origin_of(found, launch_in(directory, version)))
    if inspected.faults:
        entry, why = inspected.faults[0]
        raise PluginRefusedError(name, version.version, f"plugin {entry!r}: {why.rstrip('.')}")
    if not inspected.plugins:
        raise PluginRefusedError(name, version.version, "it registers no plugin")
    return inspected


def _refuse_taken(data: DataDir, inspected: Inspected, distribution: str) -> None:
    """A name that another distribution's plugin has cannot be had."""
    registry = PluginRegistry.load(data)
    for one in inspected.plugins:
        other = registry.registered.get((one.kind, one.facts.name))
        if other is not None and plain(other.distribution) != distribution:
            why = f"{one.kind} {one.facts.name!r} is the name of a plugin of {other.distribution}"
            origin = inspected.origin
            raise PluginRefusedError(origin.distribution, origin.version, why)


def _refuse_breaking(
    settings: Settings | None, before: InstalledPlugin, inspected: Inspected
) -> None:
    """Instances of the version in use must work, by their settings, with the new one."""
    if settings is None:
        return
    old = {(one.kind, one.name) for one in before.current.provides}
    used = [one for one in settings.instances() if (one[0], one[2].plugin) in old]
    faults = refused_settings(settings, used, inspected)
    if faults:
        origin = inspected.origin
        why = f"it would break {faults[0].path or 'the configuration'}: {faults[0].message}"
        hint = "Change the settings first, or stay with the version that is installed."
        raise PluginRefusedError(origin.distribution, origin.version, why.rstrip("."), hint)


def _provides(inspected: Inspected) -> tuple[Provided, ...]:
    return tuple(
        Provided(one.kind, one.facts.name, one.entry, one.module) for one in inspected.plugins
    )


def _activate(
    data: DataDir,
    version: InstalledVersion,
    before: InstalledPlugin | None,
    distribution: str,
    made: Path,
) -> InstalledPlugin:
    place = plugins_dir(data) / version.directory
    place.parent.mkdir(mode=0o755, exist_ok=True)
    if place.exists():  # left over from a removal that was cut short; nothing in use lies there
        shutil.rmtree(place)
    _give_to_owner(made, data)
    made.rename(place)
    old = before or InstalledPlugin(distribution, version.version, ())
    after = _without_oldest(old.with_version(version))
    write_installed(data, {**read_installed(data), distribution: after})
    if before is not None:
        _forget(data, before, {item.version for item in after.versions})
    return after


def _without_oldest(plugin: InstalledPlugin) -> InstalledPlugin:
    return replace(plugin, versions=plugin.versions[-KEPT:])


def rollback(data: DataDir, settings: Settings | None, distribution: str, version: str) -> Change:
    """Make a kept version count again. Raises PluginNotInstalledError, PluginRefusedError."""
    with _locked(data):
        before = _installed(data, distribution)
        if version not in [item.version for item in before.versions]:
            kept = ", ".join(item.version for item in before.versions)
            raise PluginNotInstalledError(f"{distribution} {version}", f"Kept: {kept}.")
        chosen = before.version(version)
        inspected = _look(plugins_dir(data) / chosen.directory, chosen)
        _refuse_breaking(settings, before, inspected)
        after = replace(before, active=version)
        write_installed(data, {**read_installed(data), before.distribution: after})
        return Change(before.distribution, before, after)


def remove(
    data: DataDir, settings: Settings | None, distribution: str, *, force: bool = False
) -> Change:
    """Take it out of use and delete its files. Raises PluginInUseError unless `force`."""
    with _locked(data):
        before = _installed(data, distribution)
        names = {(one.kind, one.name) for one in before.current.provides}
        used = [
            f"{kind}.{name}" if kind != name else kind
            for kind, name, instance in (settings.instances() if settings else [])
            if (kind, instance.plugin) in names
        ]
        if used and not force:
            raise PluginInUseError(before.distribution, used)
        left = {n: p for n, p in read_installed(data).items() if n != before.distribution}
        write_installed(data, left)
        return Change(before.distribution, before, None)


def delete_files(data: DataDir, change: Change) -> None:
    """Files of versions that no longer count; called when nothing runs from them any more."""
    if change.before is not None:
        kept = {item.version for item in change.after.versions} if change.after else set()
        _forget(data, change.before, kept)


def _forget(data: DataDir, before: InstalledPlugin, kept: set[str]) -> None:
    for item in before.versions:
        if item.version not in kept:
            shutil.rmtree(plugins_dir(data) / item.directory, ignore_errors=True)
    if not kept:
        shutil.rmtree(plugins_dir(data) / before.distribution, ignore_errors=True)


def _installed(data: DataDir, distribution: str) -> InstalledPlugin:
    """By the distribution's name, or by that of a plugin it brings."""
    installed = read_installed(data)
    if plain(distribution) in installed:
        return installed[plain(distribution)]
    for item in installed.values():
        if distribution in [one.name for one in item.current.provides]:
            return item
    known = f"Installed: {', '.join(installed)}." if installed else "None is installed so."
    raise PluginNotInstalledError(distribution, known)


@contextmanager
def _locked(data: DataDir) -> Iterator[None]:
    """One change at a time; the next one waits."""
    plugins_dir(data).mkdir(parents=True, exist_ok=True, mode=0o755)
    with (plugins_dir(data) / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _scratch(data: DataDir) -> Iterator[Path]:
    """On the same file system as the final place; what a killed call left is swept."""
    for left in plugins_dir(data).glob(".scratch-*"):
        shutil.rmtree(left, ignore_errors=True)
    mask = os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory(dir=plugins_dir(data), prefix=".scratch-") as scratch:
            yield Path(scratch)
    finally:
        os.umask(mask)


def _give_to_owner(made: Path, data: DataDir) -> None:
    """root installs for the user whom the data belongs to."""
    if os.geteuid() != 0:
        return
    owner = data.root.stat()
    for path in (made, *made.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
