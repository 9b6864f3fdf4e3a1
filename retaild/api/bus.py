"""Kind `bus`: the durable log between the doors and everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from retaild.api.base import Spec
from retaild.api.errors import RetaildError

#: `json`: one JSON object per line. `arrow`: an Arrow IPC stream in the family's schema.
Codec = Literal["json", "arrow"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Events of one family, written and read as one."""

    family: str
    codec: Codec
    rows: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry with its place in the log.

    `offset` counts entries from 0; `rows_before` counts the rows of all entries before it;
    `appended_at` is seconds since the epoch.
    """

    offset: int
    rows_before: int
    appended_at: float
    entry: Entry


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where the next entry will go: its offset, and the rows written so far."""

    offset: int
    rows: int


class TrimmedError(RetaildError):
    """The reader asks for entries that retention has removed."""

    key = "bus.trimmed"

    def __init__(self, offset: int, first: int) -> None:
        super().__init__(
            f"Log entry {offset} is gone; the log now begins at {first}.",
            hint="Rebuild the reader's state from the lake, then read on from there.",
        )
        self.first = first


class Bus(Protocol):
    """An append-only log. Any number of processes may append and read at the same time."""

    def open(self) -> None:
        """Create what is missing and repair a torn end."""

    def append(self, entries: Sequence[Entry]) -> LogEnd:
        """Write entries in order; when this returns they survive a power cut.

        All or nothing for a crash within one call is not promised (a prefix may remain): event ids
        make a repeated append harmless. Blocks for the disk, some milliseconds at most.
        """

    def read(self, offset: int, max_rows: int = 65_536) -> list[LogEntry]:
        """Entries from `offset` on, at least one if there is any, never waiting for more.

        Raises TrimmedError if `offset` was removed by `trim`.
        """

    def end(self) -> LogEnd:
        """The end as of now, other processes' appends included."""

    def trim(self, offset: int) -> None:
        """Entries before `offset` may be deleted (a segment at a time)."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FileCopy:
    """A file of a component's state directory, and how many of its bytes make a sound copy.

    `final`: it never changes again; `prefix`: it only grows. `content` stands for the file where
    that changes all the time, `source` for one that is only made for the copy.
    """

    path: Path
    size: int
    kind: Literal["final", "prefix"] = "final"
    content: bytes | None = None
    source: Path | None = None


@runtime_checkable
class Copyable(Protocol):
    """A bus that keeps its log in files of its state directory: a backup copies them."""

    def copies(self) -> tuple[LogEnd, Sequence[FileCopy]]:
        """The confirmed end, and what to copy for the log up to there. Appends may go on."""


@dataclass(frozen=True, slots=True)
class LogTail:
    """What a backup takes along of a log on a server.

    `end`: where the log ends once all of `files` is on a server. `left_out`: what is not in them,
    in a sentence.
    """

    end: LogEnd
    files: Sequence[FileCopy]
    left_out: str


@runtime_checkable
class OnServer(Protocol):
    """A bus that keeps its log on a server: a backup takes along what the lake does not have.

    A state directory with these files goes on at the server they come from as if nothing had been,
    and begins the log anew on any other.
    """

    def tail(self, carried: int, first: int, scratch: Path) -> LogTail:
        """Entries from `first` on; `carried`: from where on the lake lacks them; not before
        `first`. If the server does not answer, without them. `scratch`: an own empty directory.
        """

    def restored_end(self) -> LogEnd:
        """`end` of such files in the state directory; the bus is not open. Asks no server."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Where a broker keeps the log: a topic of one partition, one record an `Entry`.

    A record's value is the payload, its headers are `family`, `codec`, `rows` and `rows_before`;
    the log's offset is `base.offset` plus the record's. `client`: security settings, by the names
    that librdkafka and Kafka's Java client share.
    """

    bootstrap_servers: str
    name: str
    base: LogEnd
    client: Mapping[str, str] = field(default_factory=dict, repr=False)


@runtime_checkable
class TopicBacked(Protocol):
    """A bus that keeps its log in a Kafka topic, which engines may read themselves."""

    def topic(self) -> Topic:
        """Where it is. Does not ask the broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSpec(Spec):
    """Registers a bus. `build` returns a Bus."""
