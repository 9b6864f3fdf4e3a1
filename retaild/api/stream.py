"""Kind `stream processor`: carries the log into the lake, exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from retaild.api.base import Spec
from retaild.api.bus import Bus


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """After a step: the log offset below which everything is in the lake, and rows so far."""

    offset: int
    rows: int
    #: Rows this step wrote to silver, and rows it left out because silver had them already.
    written: int = 0
    duplicates: int = 0


class StreamProcessor(Protocol):
    """Reads the bus from its own committed offset and writes bronze and silver."""

    def open(self, bus: Bus) -> StreamProgress:
        """Find the committed offset in the lake itself; the bus is open already.

        Raises as `step` does; after a TransientError it is called again.
        """

    def step(self) -> StreamProgress:
        """Carry on by one micro-batch; returns at once when there is nothing to do.

        Returns within seconds, for who does not report counts as hung. Raises TransientError while
        an engine or a disk is away: it is tried again for ever, and so is what other RetaildErrors
        say, in a new process. Anything else counts towards quarantine.
        """

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamProcessorSpec(Spec):
    """Registers a stream processor. `build` returns a StreamProcessor.

    `supports` holds the names of the step types (`retaild.pipeline.steps`) it can lower; `check`
    refuses a pipeline that needs another.
    """

    supports: frozenset[str] = frozenset()
