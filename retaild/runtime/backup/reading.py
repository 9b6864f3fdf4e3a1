"""Reading a backup, file by file, whether it is a directory or an archive."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self, cast

from retaild.runtime.backup.errors import (
    DamagedBackupError,
    NotABackupError,
    UnsafeArchiveError,
)
from retaild.runtime.backup.manifest import MAX_BYTES, NAME, Manifest
from retaild.runtime.backup.places import CHUNK, is_archive
from retaild.runtime.backup.shelf import read_manifest

#: Told the name of a file, its bytes as a stream, and its size as far as that is known.
Visit = Callable[[str, IO[bytes], int], None]

#: What a damaged archive makes the readers raise.
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, OSError, RecursionError)
#: A member's long name or extended header is read into memory at once.
_MAX_HEADER = 64 * 1024


def visit_files(path: Path, visit: Visit) -> Manifest:
    """Show every file to `visit`; the manifest, which an archive has at its end.

    Raises NotABackupError, UnsafeArchiveError, DamagedBackupError (it cannot be read on).
    """
    if path.is_dir():
        return _visit_directory(path, visit)
    if not is_archive(path) or not path.is_file():
        raise NotABackupError(path, "there is no such directory or archive")
    try:
        return _visit_archive(path, visit)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the archive
        raise DamagedBackupError(path, [f"it cannot be read on ({error})"]) from error


def _visit_directory(path: Path, visit: Visit) -> Manifest:
    manifest = read_manifest(path)
    for entry in manifest.files:
        _safe(path, entry.name)
        found = path / entry.name
        if found.is_symlink() or not found.is_file():
            continue  # whoever compares with the manifest misses it
        if not found.resolve().is_relative_to(path.resolve()):
            raise UnsafeArchiveError(path, entry.name, "leads out of the backup")
        with found.open("rb") as file:
            visit(entry.name, file, os.fstat(file.fileno()).st_size)
    return manifest


class _Member(tarfile.TarInfo):
    """Refuses a header that unpacks to more than any name needs: it could fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _EXTENDED and found.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {found.size:,} bytes")
        return found


_EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


def _visit_archive(path: Path, visit: Visit) -> Manifest:
    manifest, seen = None, set[str]()
    with _unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
        for member in tar:
            if manifest is not None:
                raise UnsafeArchiveError(path, member.name, "comes behind the manifest")
            if not member.isreg() or member.issparse():
                raise UnsafeArchiveError(path, member.name, "is not a plain file")
            _safe(path, member.name)
            if member.name in seen:
                raise UnsafeArchiveError(path, member.name, "is there twice")
            seen.add(member.name)
            file = cast("IO[bytes]", tar.extractfile(member))
            if member.name == NAME:
                if member.size > MAX_BYTES:
                    raise NotABackupError(path, "its manifest is too large")
                manifest = Manifest.load(file.read(), path)
            else:
                visit(member.name, file, member.size)
    if manifest is None:
        raise NotABackupError(path)
    return manifest


@contextmanager
def _unpacked(path: Path) -> Iterator[Any]:
    if path.name.endswith((".gz", ".tgz")):
        with gzip.open(path, "rb") as file:
            yield file
    elif path.name.endswith(".zst"):
        import pyarrow as pa

        with pa.input_stream(str(path), compression="zstd") as stream:
            yield stream
    else:
        with path.open("rb") as file:
            yield file


def _safe(path: Path, name: str) -> None:
    """Raises UnsafeArchiveError for a name that could lead anywhere else."""
    parts = PurePosixPath(name).parts
    inside = parts and parts[0] in ("data", "config", "secrets") and len(parts) > 1
    if name != NAME and not inside:
        raise UnsafeArchiveError(path, name, "does not belong into a backup")
    if ".." in parts or name.startswith("/") or "\0" in name or len(name) > 4096:
        raise UnsafeArchiveError(path, name, "leads out of the backup")


class Digests:
    """A visitor that takes digests and, if given, passes the bytes on to a file."""

    def __init__(self, told: Callable[[int], None] = lambda _bytes: None) -> None:
        self._told = told
        self.found: dict[str, tuple[int, str]] = {}

    def take(self, name: str, source: IO[bytes], target: IO[bytes] | None = None) -> None:
        digest, size = hashlib.sha256(), 0
        while data := source.read(CHUNK):
            digest.update(data)
            size += len(data)
            if target is not None:
                target.write(data)
            self._told(len(data))
        self.found[name] = (size, digest.hexdigest())

    def problems(self, manifest: Manifest) -> list[str]:
        """What differs from the manifest; empty if all is as it was written."""
        said = []
        for entry in manifest.files:
            size, digest = self.found.get(entry.name, (-1, ""))
            if size < 0:
                said.append(f"{entry.name} is missing")
            elif size != entry.size:
                said.append(f"{entry.name} has {size} bytes instead of {entry.size}")
            elif digest != entry.sha256:
                said.append(f"{entry.name} has other bytes than it had")
        extra = sorted(self.found.keys() - {entry.name for entry in manifest.files})
        return [*said, *(f"{name} is not in the manifest" for name in extra)]


def size_on_disk(path: Path) -> int:
    """Bytes to read through, for a progress bar and for an estimate of the room needed."""
    if path.is_dir():
        with suppress(NotABackupError):
            return read_manifest(path).size
        return 0
    return path.stat().st_size if path.exists() else 0
