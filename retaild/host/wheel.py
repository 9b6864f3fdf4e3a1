"""Looking into a plugin's wheel before anything of it is unpacked."""

from __future__ import annotations

import configparser
import hashlib
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from importlib.machinery import all_suffixes
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from retaild.api.errors import RetaildError
from retaild.host.discovery import GROUP, OWN, plain

#: A wheel beyond these is no plugin: bytes unpacked, files, and unpacked bytes for each packed.
MAX_BYTES, MAX_FILES, MAX_RATIO = 1 << 30, 20_000, 200
#: Below this size the ratio says nothing: small texts pack well.
_SMALL = 1 << 20
#: Import packages that are the host's.
OWN_PACKAGES = frozenset({"retaild", "retaild_plugins"})


class BadWheelError(RetaildError):
    """The file is no wheel of a plugin, or one that nobody should install."""

    key = "plugin.bad_wheel"

    def __init__(self, wheel: Path, reason: str, hint: str = "") -> None:
        hint = hint or "Nothing was installed. Ask its author for a sound one."
        super().__init__(f"{wheel.name} cannot be installed: {reason}.", hint=hint)


@dataclass(frozen=True, slots=True)
class Wheel:
    """What a wheel says of itself. `packages` are its top-level import names."""

    path: Path
    name: str
    version: str
    requires: tuple[str, ...]
    packages: frozenset[str]
    sha256: str


def read_wheel(path: Path) -> Wheel:
    """Raises BadWheelError with the first thing that is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_unsafe(path, archive.infolist())
            info = _info_directory(path, archive.namelist())
            metadata = Parser().parsestr(_text(path, archive, f"{info}/METADATA"))
            entries = _text(path, archive, f"{info}/entry_points.txt", "")
            names = frozenset(_packages(archive.namelist()))
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise BadWheelError(path, f"it is not a wheel ({error})") from None
    wheel = Wheel(
        path, metadata["Name"] or "", metadata["Version"] or "",
        tuple(metadata.get_all("Requires-Dist", [])), names, _digest(path),
    )  # fmt: skip
    _refuse_unfit(wheel, entries)
    return wheel


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    packed = max(1, sum(member.compress_size for member in members))
    if len(members) > MAX_FILES or total > MAX_BYTES:
        raise BadWheelError(path, f"it is too large ({len(members)} files, {total} bytes)")
    if total > _SMALL and total / packed > MAX_RATIO:
        raise BadWheelError(path, f"it unpacks to {total // packed} times its size")
    for member in members:
        parts = PurePosixPath(member.filename).parts
        outside = ".." in parts or member.filename.startswith("/") or "\\" in member.filename
        if outside or not parts or "\0" in member.orig_filename:
            raise BadWheelError(
                path, f"it would write outside of its directory: {member.filename!r}"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadWheelError(path, f"it holds a symbolic link: {member.filename!r}")
        if parts[-1].endswith(".pth"):
            raise BadWheelError(path, f"{member.filename!r} would run at every start of Python")


def _info_directory(path: Path, names: list[str]) -> str:
    found = {name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info")}
    if len(found) != 1:
        raise BadWheelError(path, "it is not a wheel (it needs just one .dist-info directory)")
    return found.pop()


def _text(path: Path, archive: zipfile.ZipFile, name: str, default: str | None = None) -> str:
    try:
        return archive.read(name).decode("utf-8")
    except KeyError:
        if default is None:
            raise BadWheelError(path, f"it is not a wheel (it has no {name})") from None
        return default
    except (UnicodeDecodeError, zipfile.BadZipFile):
        raise BadWheelError(path, f"{name} in it is damaged") from None


def _packages(names: list[str]) -> Iterator[str]:
    """Top-level import names, those of `.data/purelib` and `platlib` among them."""
    for name in names:
        parts = name.split("/")
        if parts[0].endswith(".data") and len(parts) > 2 and parts[1] in ("purelib", "platlib"):
            parts = parts[2:]
        if parts[0].endswith((".dist-info", ".data")):
            continue
        suffix = next((s for s in all_suffixes() if len(parts) == 1 and parts[0].endswith(s)), "")
        if suffix or len(parts) > 1:
            yield parts[0].removesuffix(suffix)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_unfit(wheel: Wheel, entries: str) -> None:
    if not wheel.name or not wheel.version or not plain(wheel.name).replace("-", "").isalnum():
        raise BadWheelError(wheel.path, "it states no name and version")
    if not set(wheel.version) <= set("abcdefghijklmnopqrstuvwxyz0123456789.!+_-"):
        raise BadWheelError(wheel.path, f"{wheel.version!r} is no version")
    if plain(wheel.name) == OWN:
        raise BadWheelError(wheel.path, "it is retaild itself", "Upgrade the host by its package.")
    if own := sorted(wheel.packages & OWN_PACKAGES):
        raise BadWheelError(wheel.path, f"it brings a package {own[0]!r}, which is the host's")
    if not _has_entry_point(entries):
        hint = f'Its pyproject.toml needs a table [project.entry-points."{GROUP}"].'
        raise BadWheelError(wheel.path, f"it has no entry point of group {GROUP}", hint)
    taken = sorted(name for name in wheel.packages if _on_the_host(name))
    if taken:
        hint = "It has to bring a package of another name."
        raise BadWheelError(wheel.path, f"the host has a package {taken[0]!r} already", hint)


def _has_entry_point(entries: str) -> bool:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    try:
        parser.read_string(entries)
    except configparser.Error:
        return False
    return parser.has_section(GROUP) and bool(parser.options(GROUP))


def _on_the_host(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
