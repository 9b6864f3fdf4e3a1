"""Where a backup is written to: a directory below DEST, or one archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, Protocol, cast

from retaild.runtime.backup.errors import ExistsError
from retaild.runtime.backup.manifest import NAME, FileEntry

CHUNK = 1024 * 1024
#: Endings of archives; `tarfile` does the rest.
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
#: Parquet is compressed already: more effort gives little.
_GZIP_LEVEL = 1
PARTIAL = ".partial"


#: final: no file of this name will ever have other bytes. prefix: it only grows. loose: it may be
#: written anew at any time, so it is looked at before and after.
Kind = Literal["final", "prefix", "loose"]


@dataclass(frozen=True, slots=True)
class Item:
    """A file to copy: its name in the backup, where its bytes are, and how many of them."""

    name: str
    path: Path
    size: int
    mtime: int = 0
    kind: Kind = "loose"
    #: What the file is on its disk: one that has several names is copied once.
    inode: int = 0


class ChangedError(Exception):
    """A file was not the same before and after it was copied."""


Told = Callable[[int], None]


class Place(Protocol):
    """`add` and `finish`, or `abandon`. What is unfinished never bears the backup's name."""

    path: Path
    scratch: Path
    linked: int

    def add(self, item: Item, told: Told) -> FileEntry: ...

    def finish(self, manifest: bytes) -> None: ...

    def abandon(self) -> None: ...


def is_archive(path: Path) -> bool:
    return path.name.endswith(ARCHIVES)


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class DirectoryPlace:
    """`<folder>/<name>`; files that the backup `before` has unchanged are linked to it."""

    def __init__(
        self, folder: Path, name: str, before: Mapping[str, FileEntry], old: Path | None
    ) -> None:
        self.path = folder / name
        self._work = folder / f"{name}{PARTIAL}"
        self._before, self._old = before, old
        self._made: set[Path] = set()
        self._copied: dict[int, FileEntry] = {}
        self.linked = 0
        for left in folder.glob(f"*{PARTIAL}"):  # by a killed backup: the folder's lock is ours
            shutil.rmtree(left, ignore_errors=True)
        self._work.mkdir(mode=0o700)
        self.scratch = self._work / ".scratch"
        self.scratch.mkdir(mode=0o700)

    def can_link(self, item: Item) -> bool:
        known = self._before.get(item.name)
        return (
            item.kind == "final"
            and known is not None
            and (known.size, known.mtime) == (item.size, item.mtime)
        )

    def add(self, item: Item, told: Told) -> FileEntry:
        target = self._work / item.name
        self._make(target.parent)
        if self.can_link(item) and self._link(item, target):
            told(item.size)
            return self._before[item.name]
        if item.inode in self._copied and item.kind == "final":
            known = self._copied[item.inode]
            os.link(self._work / known.name, target)
            told(item.size)
            return replace(known, name=item.name)
        digest = copy_durably(item, target, told)
        entry = _entry(item, digest)
        if item.kind == "final":
            self._copied[item.inode] = entry
        return entry

    def _link(self, item: Item, target: Path) -> bool:
        assert self._old is not None
        try:
            os.link(self._old / item.name, target)
        except OSError:  # another disk, or too many links: a copy will do
            return False
        self.linked += item.size
        return True

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._made.add(folder)

    def finish(self, manifest: bytes) -> None:
        shutil.rmtree(self.scratch)
        for folder in self._made:
            sync_folder(folder)
        part = self._work / f"{NAME}{PARTIAL}"
        write_durably(part, manifest)
        part.rename(self._work / NAME)
        sync_folder(self._work)
        self._work.rename(self.path)
        sync_folder(self.path.parent)

    def abandon(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)


class ArchivePlace:
    """A tar, compressed by its name's ending; the manifest is its last member."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise ExistsError(path)
        self.path, self.linked = path, 0
        self._part = path.with_name(path.name + PARTIAL)
        self.scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        self._raw = os.fdopen(
            os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
        )
        self._packed = _packer(path.name, self._raw)
        self._tar = tarfile.open(  # noqa: SIM115  (closed by finish)
            fileobj=cast("IO[bytes]", self._packed), mode="w|", format=tarfile.PAX_FORMAT
        )
        self._tar.copybufsize = CHUNK  # type: ignore[attr-defined]

    def add(self, item: Item, told: Told) -> FileEntry:
        if item.kind != "loose":
            return self._add(item, item.path, told)
        # A member cannot be taken out again, so what may change meanwhile is copied first.
        copy = self.scratch / "loose"
        copy_durably(item, copy, lambda _bytes: None)
        return self._add(item, copy, told)

    def _add(self, item: Item, path: Path, told: Told) -> FileEntry:
        with path.open("rb") as source:
            if os.fstat(source.fileno()).st_size < item.size:
                raise ChangedError(item.name)
            reader = _Hashing(source, told)
            self._tar.addfile(_member(item.name, item.size, item.mtime), cast("IO[bytes]", reader))
        return _entry(item, reader.digest.hexdigest())

    def finish(self, manifest: bytes) -> None:
        shutil.rmtree(self.scratch)
        self._tar.addfile(_member(NAME, len(manifest), 0), io.BytesIO(manifest))
        self._tar.close()
        self._packed.close()
        self._raw.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.rename(self.path)
        sync_folder(self.path.parent)

    def abandon(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        for stream in (self._tar.fileobj, self._packed, self._raw):
            with suppress(Exception):  # closing writes, and the disk may be full
                stream.close()
        self._part.unlink(missing_ok=True)


def _packer(name: str, raw: IO[bytes]) -> Any:
    if name.endswith((".gz", ".tgz")):
        return gzip.GzipFile("", "wb", _GZIP_LEVEL, raw)
    if name.endswith(".zst"):
        import pyarrow as pa

        return pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd")
    return raw


class _Hashing:
    """Reads so many bytes and digests them on the way."""

    def __init__(self, source: IO[bytes], told: Told) -> None:
        self._source, self._told = source, told
        self.digest = hashlib.sha256()

    def read(self, size: int = CHUNK) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        self._told(len(data))
        return data


def _member(name: str, size: int, mtime: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, mtime // 1_000_000_000
    return member


def _entry(item: Item, digest: str) -> FileEntry:
    return FileEntry(item.name, item.size, digest, item.mtime, item.kind == "final")


def copy_durably(item: Item, target: Path, told: Told) -> str:
    """Copy a file, for its owner's eyes only; its SHA-256. Raises ChangedError."""
    with item.path.open("rb") as source:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            digest = _copied(source, file, item, told)
            file.flush()
            os.fdatasync(descriptor)
        after = os.fstat(source.fileno())
    if item.kind == "loose" and (after.st_size, after.st_mtime_ns) != (item.size, item.mtime):
        raise ChangedError(item.name)
    return digest


def _copied(source: IO[bytes], target: IO[bytes], item: Item, told: Told) -> str:
    """Copy `item.size` bytes; their SHA-256. Raises ChangedError if there are fewer."""
    digest, left = hashlib.sha256(), item.size
    while left:
        data = source.read(min(CHUNK, left))
        if not data:
            raise ChangedError(item.name)
        digest.update(data)
        target.write(data)
        left -= len(data)
        told(len(data))
    return digest.hexdigest()


def write_durably(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
