"""What is remembered of files between runs, as the JSON that the host keeps."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from retaild.api import Position

#: So many files are remembered one by one, at least.
REMEMBERED = 1000
_EDGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FileMark:
    """How far a file was read, and enough to know it again.

    `size` and `mtime` (ns) as of then; `edges` a digest of its first bytes and of those before
    `size`. `rows`: read so far, refused ones included. `fault`: it could not be read (further)
    under the settings with this digest.
    """

    inode: int
    size: int
    mtime: int
    edges: str
    rows: int = 0
    done: bool = False
    fault: str = ""

    def stored(self) -> dict[str, int | str | bool]:
        """Every field. By hand: a position has a thousand, and `asdict` takes 12 us for each."""
        return {"inode": self.inode, "size": self.size, "mtime": self.mtime, "edges": self.edges,
                "rows": self.rows, "done": self.done, "fault": self.fault}  # fmt: skip

    def unchanged(self, status: os.stat_result) -> bool:
        return self.size == status.st_size and self.mtime == status.st_mtime_ns

    def continues(self, file: BinaryIO, growing: bool) -> bool:
        """Whether `file` is the marked one, or (if `growing`) that with something appended."""
        size = os.fstat(file.fileno()).st_size
        fits = size >= self.size if growing else size == self.size
        return fits and edges_digest(file, self.size) == self.edges


def edges_digest(file: BinaryIO, size: int) -> str:
    """Digest of the first bytes of an open file and of those before `size`."""
    handle = file.fileno()
    head = os.pread(handle, min(size, _EDGE_BYTES), 0)
    start = max(0, size - _EDGE_BYTES)
    tail = os.pread(handle, size - start, start)
    return hashlib.blake2b(head + b"\0" + tail, digest_size=8).hexdigest()


def mark_of(file: BinaryIO, size: int | None = None, **progress: Any) -> FileMark:
    """The mark of an open file, read up to byte `size` (default: all of it)."""
    status = os.fstat(file.fileno())
    end = status.st_size if size is None else min(size, status.st_size)
    digest = edges_digest(file, end)
    return FileMark(status.st_ino, end, status.st_mtime_ns, digest, **progress)


def key_of(name: str) -> str:
    """Names are kept as digests: a name may hold what may not be kept."""
    return hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()


class Ledger:
    """Marks by file name, bounded in number.

    Beyond `REMEMBERED`, marks of finished files are replaced by one moment, `before`: whatever the
    file system changed no later (ctime) has been read. It never passes a file that is still to be
    read, nor the present: if it lies ahead, the clock was set back, and it tells nothing of new
    files. Then those that were forgotten are read again, and their ids tell that they are known.
    """

    def __init__(self, position: Position | None) -> None:
        saved = position or {}
        self.marks = {key: FileMark(**mark) for key, mark in saved.get("files", {}).items()}
        self.before = int(saved.get("before", 0))

    def position(self) -> Position:
        files = {key: mark.stored() for key, mark in self.marks.items()}
        return {"files": files, "before": self.before}

    def find(self, name: str) -> FileMark | None:
        return self.marks.get(key_of(name))

    def has_forgotten(self, status: os.stat_result) -> bool:
        """Whether it was read long ago. For files without a mark."""
        if self.before > time.time_ns():
            self.before = 0
        return status.st_ctime_ns <= self.before

    def mark(self, name: str, mark: FileMark) -> None:
        self.marks[key_of(name)] = mark

    def follow_renames(self, present: Mapping[str, os.stat_result]) -> None:
        """Give each mark the name that its file now has."""
        keys = {key_of(name): status for name, status in present.items()}
        by_inode = {status.st_ino: key for key, status in keys.items()}
        for key, mark in list(self.marks.items()):
            new = by_inode.get(mark.inode)
            moved = key not in keys or keys[key].st_ino != mark.inode
            if new is not None and moved and keys[new].st_size >= mark.size:
                del self.marks[key]
                self.marks[new] = mark

    def forget(self, present: Mapping[str, os.stat_result], pending: Iterable[str]) -> None:
        """Keep within bounds; `present` are the folder's files, `pending` those not read yet."""
        if len(self.marks) <= REMEMBERED:
            return
        keys = {key_of(name): status for name, status in present.items()}
        self.marks = {key: mark for key, mark in self.marks.items() if key in keys}
        limit = min([time.time_ns(), *(present[name].st_ctime_ns for name in pending)])
        done = sorted(
            (keys[key].st_ctime_ns, key)
            for key, mark in self.marks.items()
            if mark.done and not mark.fault and mark.unchanged(keys[key])
        )
        for ctime, key in done[: max(0, len(self.marks) - REMEMBERED)]:
            if ctime < limit:
                self.before = max(self.before, ctime)
                del self.marks[key]
