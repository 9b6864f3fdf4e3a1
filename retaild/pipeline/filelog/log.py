"""The log itself: segments, the lock among writers, repair, reading, trimming."""

from __future__ import annotations

import bisect
import errno
import itertools
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from retaild.api import Entry, LogEnd, LogEntry
from retaild.api.bus import FileCopy, TrimmedError
from retaild.api.errors import RetaildError, TransientError
from retaild.pipeline.filelog.frame import (
    HEADER_BYTES,
    frame_length,
    frames,
    next_sound,
    pack,
)
from retaild.pipeline.filelog.lock import ProcessLock
from retaild.pipeline.filelog.marker import End, EndMarker, packed

_log = logging.getLogger(__name__)

_SUFFIX = ".log"
_READ_BYTES = 8 * 1024 * 1024
_PLACES = 64


class LogFullError(TransientError):
    key = "bus.disk_full"

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"The disk of {directory} is full: no event can be accepted.",
            hint="Free some space; the doors go on by themselves. Nothing accepted was lost.",
        )


class DamagedLogError(RetaildError):
    key = "bus.damaged"

    def __init__(self, file: Path, offset: int) -> None:
        super().__init__(
            f"{file} is damaged at entry {offset}: its checksum does not match.",
            hint="Restore the file from a backup; the disk may be failing.",
        )


class FileLog:
    """A Bus in `directory`. One object may be used by several threads.

    `segment_bytes`: size at which a file is closed. `sync`: wait for the disk before an append
    returns.
    """

    def __init__(
        self, directory: Path, *, segment_bytes: int = 64 * 1024 * 1024, sync: bool = True
    ) -> None:
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._directory = directory
        self._lock = ProcessLock(directory / "lock")
        self._writer: tuple[int, int] | None = None  # (segment, descriptor)
        self._marker: EndMarker | None = None
        #: Offset -> (segment, position): where readers of this object will go on.
        self._places: dict[int, tuple[int, int]] = {}

    # -- life ----------------------------------------------------------------------------------

    def open(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock.open()
        self._marker = EndMarker(self._directory / "end")
        with self._lock.held():
            self._repair()

    def close(self) -> None:
        with self._lock.threads:
            if self._writer is not None:
                os.close(self._writer[1])
                self._writer = None
            if self._marker is not None:
                self._marker.close()
                self._marker = None
            self._lock.close()

    # -- writing -------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> LogEnd:
        with self._lock.held():
            end = self._repair()
            if not entries:
                return LogEnd(end.offset, end.rows)
            end = self._rolled(end)
            now = time.time()
            buffers, offset, rows = [], end.offset, end.rows
            for entry in entries:
                buffers.append(pack(entry, offset, rows, now))
                offset, rows = offset + 1, rows + entry.rows
            data = b"".join(buffers)
            self._write(end, data)
            self._publish(End(offset, rows, end.segment, end.position + len(data)))
            return LogEnd(offset, rows)

    def _write(self, end: End, data: bytes) -> None:
        descriptor = self._writing(end.segment)
        try:
            view, position = memoryview(data), end.position
            while view:
                written = os.pwrite(descriptor, view, position)
                view, position = view[written:], position + written
            if self._sync:
                os.fdatasync(descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(descriptor, end.position)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LogFullError(self._directory) from error
            raise

    def _rolled(self, end: End) -> End:
        """Begin a new segment if the current one has its size."""
        if end.position < self._segment_bytes:
            return end
        self._create(end.offset)
        return End(end.offset, end.rows, end.offset, 0)

    def _create(self, segment: int) -> None:
        os.close(os.open(self._path(segment), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))
        self._sync_directory()

    def _writing(self, segment: int) -> int:
        if self._writer is not None and (
            # A segment begun in vain is unlinked by whoever repairs the log, maybe another process.
            self._writer[0] != segment or os.fstat(self._writer[1]).st_nlink == 0
        ):
            os.close(self._writer[1])
            self._writer = None
        if self._writer is None:
            if not self._path(segment).exists():
                self._create(segment)
            self._writer = (segment, os.open(self._path(segment), os.O_RDWR | os.O_CLOEXEC))
        return self._writer[1]

    def _publish(self, end: End) -> None:
        assert self._marker is not None
        self._marker.publish(end)

    def _repair(self) -> End:
        """The true end, under the lock: finish or cut off what a killed writer left."""
        assert self._marker is not None
        published = self._marker.read()
        segments = self._segments()
        if published is None or (segments and segments[-1] > published.segment):
            # The marker did not survive a power cut, or a writer died after beginning a segment.
            return self._recovered(self._rescan())
        path = self._path(published.segment)
        size = path.stat().st_size if path.exists() else 0
        if size > published.position:
            return self._recovered(published)
        return published if size == published.position else self._skipped_to(published)

    def _skipped_to(self, published: End) -> End:
        """The disk lost bytes that it had confirmed: go on behind them in a new segment.

        Readers may have acted on the lost entries, so their offsets are not given out again.
        """
        self._recovered(End(published.segment, -1, published.segment, 0))
        end = End(published.offset, published.rows, published.offset, 0)
        self._create(end.segment)
        self._publish(end)
        return end

    def _recovered(self, start: End) -> End:
        """Take whole frames behind `start` into the log; cut off the rest."""
        end = start
        for entry, position in self._scan(start):
            end = End(
                entry.offset + 1, entry.rows_before + entry.entry.rows, start.segment, position
            )
        path = self._path(end.segment)
        if path.exists():
            descriptor = self._writing(end.segment)
            if os.fstat(descriptor).st_size > end.position:
                os.ftruncate(descriptor, end.position)
            os.fdatasync(descriptor)
        self._publish(end)
        return end

    def _rescan(self) -> End:
        """The start of the newest segment that says where it begins."""
        for segment in reversed(self._segments()):
            with self._path(segment).open("rb") as file:
                first = next(iter(frames(file.read(_READ_BYTES * 3), segment)), None)
            if first is not None:
                return End(segment, first[0].rows_before, segment, 0)
            if segment == 0:
                return End(0, 0, 0, 0)
            # Begun and never filled: its offset is right, the rows are those of the one before.
            self._path(segment).unlink()
        return End(0, 0, 0, 0)

    def _scan(self, start: End) -> Iterator[tuple[LogEntry, int]]:
        path = self._path(start.segment)
        data = path.read_bytes()[start.position :] if path.exists() else b""
        for entry, position in frames(data, start.offset):
            yield entry, start.position + position

    # -- reading -------------------------------------------------------------------------------

    def end(self) -> LogEnd:
        end = self._published()
        return LogEnd(end.offset, end.rows)

    def read(self, offset: int, max_rows: int = 65_536) -> list[LogEntry]:
        end = self._published()
        if offset >= end.offset:
            return []
        with self._lock.threads:
            segment, position = self._locate(offset)
            return self._read_from(offset, segment, position, end, max_rows)

    def _read_from(
        self, offset: int, segment: int, position: int, end: End, max_rows: int
    ) -> list[LogEntry]:
        found: list[LogEntry] = []
        rows = 0
        while rows < max_rows and offset < end.offset:
            limit = end.position if segment == end.segment else None
            chunk = self._chunk(segment, position, limit)
            if not chunk:
                following = self._segment_after(segment)
                if following is None:
                    raise DamagedLogError(self._path(segment), offset)
                if following > offset:
                    self._tell_damage(segment, position, offset, following)
                # Usually following == offset; behind a gap (`_skipped_to`) it is later.
                offset, segment, position = following, following, 0
                continue
            start = position
            for entry, behind in frames(chunk, offset):
                found.append(entry)
                offset, position = offset + 1, start + behind
                rows += entry.entry.rows
                if rows >= max_rows:
                    break
            if position == start:
                if found:
                    break  # what is sound first; the next read says what is not
                offset, segment, position = self._behind_damage(offset, segment, position, end)
        self._places[offset] = (segment, position)
        if len(self._places) > _PLACES:
            del self._places[next(iter(self._places))]
        return found

    def _chunk(self, segment: int, position: int, limit: int | None) -> bytes:
        """Bytes from `position` on: some megabytes, or one whole frame if that is larger."""
        size = _READ_BYTES if limit is None else min(_READ_BYTES, limit - position)
        try:
            file = self._path(segment).open("rb")
        except FileNotFoundError:
            raise TrimmedError(segment, next(iter(self._segments()), 0)) from None
        with file:
            file.seek(position)
            data = file.read(size)
            needed = frame_length(data[:HEADER_BYTES]) or 0
            if needed > len(data):
                data += file.read(needed - len(data))
        return data

    def _locate(self, offset: int) -> tuple[int, int]:
        """Segment and position of an entry: at the cursor, or found by walking the headers."""
        place = self._places.pop(offset, None)
        if place is not None and self._path(place[0]).exists():
            return place
        segments = self._segments()
        index = bisect.bisect_right(segments, offset) - 1
        if index < 0:
            raise TrimmedError(offset, segments[0] if segments else 0)
        return segments[index], self._position_of(segments[index], offset)

    def _position_of(self, segment: int, offset: int) -> int:
        position, current = 0, segment
        with self._path(segment).open("rb", buffering=1 << 16) as file:
            while current < offset:
                header = file.read(HEADER_BYTES)
                if not header:
                    break  # a gap: reading goes on in the next segment
                length = frame_length(header)
                if length is None:
                    return self._position_by_search(segment, position, offset)
                position, current = position + length, current + 1
                file.seek(position)
        return position

    def _position_by_search(self, segment: int, position: int, offset: int) -> int:
        """The first sound frame of an entry from `offset` on; the file's end if there is none."""
        data = self._path(segment).read_bytes()
        found = next_sound(data, position, offset)
        return len(data) if found is None else found[0]

    def _behind_damage(
        self, offset: int, segment: int, position: int, end: End
    ) -> tuple[int, int, int]:
        """Where the log goes on behind bytes that nobody can read: offset, segment, position.

        The segment is kept under another name too, so that retention does not remove the only
        trace. Raises DamagedLogError where nothing sound follows: a restored file helps then.
        """
        data = self._path(segment).read_bytes()
        if segment == end.segment:
            data = data[: end.position]
        found = next_sound(data, position, offset)
        if found is not None:
            self._tell_damage(segment, position, offset, found[1])
            return found[1], segment, found[0]
        following = self._segment_after(segment)
        if following is None:
            if segment != end.segment:
                raise DamagedLogError(self._path(segment), offset)
            self._tell_damage(segment, position, offset, end.offset)
            return end.offset, segment, end.position
        self._tell_damage(segment, position, offset, following)
        return following, following, 0

    def _tell_damage(self, segment: int, position: int, first: int, following: int) -> None:
        """Write down once which entries cannot be read, and keep the file as it is."""
        path = self._path(segment)
        kept = path.with_name(f"{path.name}.damaged")
        try:
            os.link(path, kept)
        except FileExistsError:
            return
        _log.error(
            "%s is damaged at byte %d: entries %d to %d cannot be read and are left out. The file "
            "is kept as %s; a backup made since may hold them.",
            path, position, first, following - 1, kept.name,
        )  # fmt: skip

    def _published(self) -> End:
        assert self._marker is not None, "the log is not open"
        end = self._marker.read()
        if end is None:
            with self._lock.held():
                end = self._repair()
        return end

    # -- retention and files -------------------------------------------------------------------

    def trim(self, offset: int) -> None:
        with self._lock.held():
            segments = self._segments()
            for segment, following in itertools.pairwise(segments):
                if following <= offset:
                    self._path(segment).unlink()
            self._sync_directory()

    def copies(self) -> tuple[LogEnd, list[FileCopy]]:
        """The segments up to the published end, and a marker that says so."""
        end = self._published()
        found = []
        for segment in self._segments():
            path = self._path(segment)
            if segment < end.segment:
                found.append(FileCopy(path, path.stat().st_size))
            elif segment == end.segment:
                found.append(FileCopy(path, end.position, "prefix"))
        record = packed(end)
        found.append(FileCopy(self._directory / "end", len(record), content=record))
        return LogEnd(end.offset, end.rows), found

    def _segments(self) -> list[int]:
        """First offsets of the segments, ascending."""
        names = (name for name in os.listdir(self._directory) if name.endswith(_SUFFIX))
        return sorted(int(name.removesuffix(_SUFFIX)) for name in names)

    def _segment_after(self, segment: int) -> int | None:
        return next((s for s in self._segments() if s > segment), None)

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:020d}{_SUFFIX}"

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
