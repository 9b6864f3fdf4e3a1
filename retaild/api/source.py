"""Kind `source`: where events come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from retaild.api.base import Spec

if TYPE_CHECKING:
    import pyarrow as pa

    from retaild.events import DeadLetter

#: Where to read on: anything JSON can hold. The host keeps it after the rows are durable.
Position = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Events of one family, and what could not be read.

    `events` has exactly the columns of `arrow_schema(family)`. `position` is where to read on once
    this batch is durable. `done` and `total` count rows of the input for progress (total 0:
    unknown).
    """

    family: str
    events: pa.Table
    position: Position
    dead_letters: tuple[DeadLetter, ...] = ()
    done: int = 0
    total: int = 0
    #: What is being read, for people: a file's name.
    label: str = field(default="")
    #: The number in the input of each event's row (numpy int64), where rows have one: for the
    #: place of a dead letter that the host itself makes of an event.
    rows: Any = None


class Source(Protocol):
    """Reads one input. The host owns retries, limits and the card-number guard."""

    def open(self, position: Position | None) -> None:
        """Touch the world; go on after `position` (of the last accepted batch), or anew."""

    def poll(self) -> SourceBatch | None:
        """The next batch, or None when there is nothing now. Does not wait for input."""

    def close(self) -> None:
        """Let go of everything; also after a failed `open`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec(Spec):
    """Registers a source. `build` returns a Source."""

    families: tuple[str, ...] = ()
    #: True if `retaildctl import FILE` may use it: its config has a field `path`.
    imports_files: bool = False
    #: Batches that may be polled before the one before them is durable. With 0 a call of `poll`
    #: means that all earlier batches are; with more the source must not act on that (delete a
    #: file, acknowledge a message) until `confirmed` says so: see Confirmable.
    read_ahead: int = 0


class Replayable(Protocol):
    """A source that can read refused bytes again, after its mapping was mended."""

    def parse(self, dead_letter: DeadLetter) -> SourceBatch:
        """The events in `dead_letter.raw`; what is still wrong comes back as dead letters."""


class Confirmable(Protocol):
    """A source that wants to hear what is durable: to acknowledge messages, to delete files."""

    def confirmed(self, position: Position) -> None:
        """The batch with this position, and all before it, survive a power cut.

        Called between polls, in the thread that polls, once for each batch and in their order.
        After a crash it may never be called for a batch that is durable: `open` is told instead.
        """


class Checkable(Protocol):
    """A component that can find out whether it would work, without changing anything."""

    def check(self) -> None:
        """Called on an unopened component, beside one that works, before it may replace it.

        May connect and read, not consume or write; at most a few seconds. Raises RetaildError
        with what is wrong.
        """
