"""What a plugin needs, against what the host has: beside it, in an environment, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from retaild import __version__
from retaild.api.errors import RetaildError
from retaild.host import pip
from retaild.host.discovery import OWN, plain
from retaild.host.environments import ISOLATED_KINDS
from retaild.host.installed import Way
from retaild.host.wheel import BadWheelError, Wheel

#: What the plugin interface itself is made of: every plugin's process has it.
API_NEEDS = ("pluggy", "pydantic", "pyarrow", "deltalake")


class ClashError(RetaildError):
    """The plugin cannot live with what every plugin's process needs, or with this kind's host."""

    key = "plugin.clash"


@dataclass(frozen=True, slots=True)
class Needs:
    """Where a wheel can live, and what has to be installed with it: name -> version."""

    way: Way
    missing: dict[str, str]
    #: Why it needs an environment of its own.
    reason: str = ""


def needs_of(wheel: Wheel, options: Sequence[str]) -> Needs:
    """Raises ClashError, PipError (what it needs is not to be had), BadWheelError."""
    required = _required(wheel)
    host = _host_versions()
    if all(_satisfied(r, host) for r in required) and not any(r.extras for r in required):
        return Needs("path", {})
    words = [str(requirement) for requirement in required]
    pins = [f"{name}=={version}" for name, version in host.items()]
    try:
        return Needs("path", pip.resolve(words, pins, options))
    except pip.PipError as error:
        beside = error
    clashes = _clashes(wheel, required, host)
    try:
        found = pip.resolve([*words, *_api_needs()], [], options)
    except pip.PipError as error:
        raise _refusal(wheel, required, host) or error from None
    return Needs("environment", found, "; ".join(clashes) or beside.said)


def refuse_environment(wheel: Wheel, kinds: set[str], reason: str) -> None:
    """A plugin with an environment of its own needs a process of its own. Raises ClashError."""
    inside = sorted(kinds - ISOLATED_KINDS)
    if inside:
        message = f"{wheel.name} {wheel.version} does not fit the host's packages: {reason}."
        hint = (
            f"A {inside[0]} works in the host's own processes and has to live with what is there."
        )
        raise ClashError(message, hint=hint)


def _required(wheel: Wheel) -> list[Requirement]:
    """Its requirements that hold on this machine, without retaild, which is there."""
    found: list[Requirement] = []
    for text in wheel.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise BadWheelError(wheel.path, f"it requires {text!r}, which is not sense") from None
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        requirement.marker = None
        if plain(requirement.name) != OWN:
            found.append(requirement)
        elif not requirement.specifier.contains(__version__, prereleases=True):
            message = f"{wheel.name} {wheel.version} needs {text}; this is retaild {__version__}."
            raise ClashError(message, hint="Upgrade retaild, or install another version of it.")
    return found


def _host_versions() -> dict[str, str]:
    return {plain(found.name): found.version for found in metadata.distributions() if found.name}


def _satisfied(requirement: Requirement, host: dict[str, str]) -> bool:
    version = host.get(plain(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _clashes(wheel: Wheel, required: list[Requirement], host: dict[str, str]) -> list[str]:
    return [
        f"{wheel.name} needs {requirement}, the host has {host[plain(requirement.name)]}"
        for requirement in required
        if plain(requirement.name) in host and not _satisfied(requirement, host)
    ]


def _api_needs() -> list[str]:
    """As retaild's own metadata states them; as installed, where it has none (a checkout)."""
    try:
        stated = [Requirement(text) for text in metadata.requires(OWN) or []]
    except metadata.PackageNotFoundError:
        stated = []
    by_name = {plain(r.name): f"{r.name}{r.specifier}" for r in stated if r.marker is None}
    host = _host_versions()
    return [by_name.get(name, f"{name}=={host[name]}") for name in API_NEEDS]


def _refusal(wheel: Wheel, required: list[Requirement], host: dict[str, str]) -> ClashError | None:
    """In words, where what it needs itself clashes with what the interface needs."""
    ours = {plain(Requirement(text).name): text for text in _api_needs()}
    for requirement in required:
        name = plain(requirement.name)
        if name in ours and not _satisfied(requirement, host):
            message = (
                f"{wheel.name} {wheel.version} needs {requirement}, but retaild's plugin interface "
                f"needs {ours[name]} ({host[name]} is installed)."
            )
            hint = "Nothing was installed. Ask its author for a version that works with both."
            return ClashError(message, hint=hint)
    return None
