"""What a backup takes along of the log: a spool that a restored directory sends to its broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from retaild.api import Entry, LogEnd, TransientError
from retaild.api.bus import Bus, FileCopy, LogTail, TrimmedError
from retaild.pipeline.filelog import End, FileLog, packed
from retaild_plugins.cluster.kafka.base import NAME, Base, Origin
from retaild_plugins.cluster.kafka.spool import SEGMENT_BYTES, SENT, Spool

#: Of a spool: entries and the mark up to where they were sent.
SPOOL = "spool"


def copy_waiting(spool: Spool, folder: Path) -> None:
    """What the broker has not got yet; the spool's lock is held."""
    with closing(_opened(folder)) as log:
        for entries in spool.all_waiting():
            log.append(entries)


def make_tail(
    bus: Bus, base: Base, end: LogEnd, carried: int, first: int, scratch: Path, state: Path
) -> LogTail:
    """`end`: of the log when what waits was copied to `scratch`/waiting; see `OnServer.tail`."""
    with closing(_opened(scratch / SPOOL)) as log:
        begin, missing = _copy_log(bus, end, first, log)
        tail = log.end()
        sent = LogEnd(0, 0)
        if missing:  # what was copied is no use without the rest
            begin, sent = LogEnd(min(carried, end.offset), end.rows), tail
        with closing(_opened(scratch / "waiting")) as waiting:
            for entries in _batches(waiting, 0):
                log.append(entries)
        there = log.end()
    # Of a restored directory that has not met its broker, the spool still has that tail.
    origin = base.origin or Origin(base.start, end, tail)
    restored = Base(begin, base.topic, base.identity, origin)
    files = [
        _content(state / NAME, restored.content()),
        _content(state / SPOOL / SENT, packed(End(sent.offset, sent.rows, 0, 0))),
        *_made(scratch / SPOOL, state / SPOOL),
    ]
    last = LogEnd(begin.offset + there.offset - sent.offset, begin.rows + there.rows - sent.rows)
    return LogTail(last, files, _said(begin, end, missing))


def restored_end(state: Path) -> LogEnd:
    """The end of the log once a restored directory's spool is on a broker."""
    start = Base.read(state / NAME).start
    spool = Spool(state / SPOOL, 0)
    spool.open()
    with closing(spool):
        waiting = spool.waiting()
    return LogEnd(start.offset + waiting.offset, start.rows + waiting.rows)


def _copy_log(bus: Bus, end: LogEnd, first: int, log: FileLog) -> tuple[LogEnd, str]:
    """Where the copy begins, and why it is not whole; empty if it is."""
    begin: LogEnd | None = None
    at = min(first, end.offset)
    while at < end.offset:
        try:
            entries = bus.read(at)
        except TrimmedError as error:
            if begin is not None or error.first <= at:
                raise
            at = min(error.first, end.offset)
            continue
        except TransientError as error:
            return LogEnd(at, 0), error.message
        begin = begin or LogEnd(at, entries[0].rows_before)
        log.append([entry.entry for entry in entries if entry.offset < end.offset])
        at = entries[-1].offset + 1
    return begin or end, ""


def _said(begin: LogEnd, end: LogEnd, missing: str) -> str:
    if missing and begin.offset < end.offset:
        return (
            f"Entries {begin.offset} to {end.offset - 1} of the log, which the lake does not have "
            f"yet: {missing}"
        )
    before = f"before {begin.offset} " if begin.offset else ""
    return f"Entries {before}of the log in Kafka that the lake has already."


def _opened(folder: Path) -> FileLog:
    folder.mkdir(parents=True, exist_ok=True)
    log = FileLog(folder, segment_bytes=SEGMENT_BYTES, sync=False)
    log.open()
    return log


def _batches(log: FileLog, offset: int) -> Iterator[list[Entry]]:
    while entries := log.read(offset):
        yield [entry.entry for entry in entries]
        offset = entries[-1].offset + 1


def _content(path: Path, content: bytes) -> FileCopy:
    return FileCopy(path, len(content), content=content)


def _made(folder: Path, below: Path) -> Iterator[FileCopy]:
    for path in sorted(folder.glob("*.log")):
        yield FileCopy(below / path.name, path.stat().st_size, "prefix", source=path)
    end = (folder / "end").read_bytes()
    yield _content(below / "end", end)
