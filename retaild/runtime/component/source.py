"""Runs one source in its own process: open, poll, send, hear what is durable.

It never writes to the log: the ingest worker does, and says so (`retaild.runtime.ingest_hub`). When
the ingest worker is started again, the source is built and opened anew at the saved position.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError
from retaild.api.source import SourceBatch
from retaild.events.cards import mask
from retaild.host.lifecycle import closing_always
from retaild.runtime.component import ComponentContext
from retaild.runtime.component.channel import LostError
from retaild.runtime.ingest_append import Taken
from retaild.runtime.ingest_link import Link, NoHubError, linked
from retaild.runtime.stream import Meter

_log = logging.getLogger(__name__)

#: Pause between two looks for something new, in seconds.
_POLL = 0.2
#: How long the ingest worker may be away before the process ends, to be started again later.
_HUB_SECONDS = 20.0
#: At a stop, what was sent may still be acknowledged for so long.
_LAST_ANSWERS = 1.5


def run(context: ComponentContext) -> None:
    """Work until `context.stop`. Raises what the source raises, with its `last_error` saved."""
    try:
        SourceRunner(context).run()
    except RetaildError as error:
        # What a source says may quote its input; from here on it is written to logs and state.
        error.message, error.hint = mask(error.message), mask(error.hint)
        context.state.save_source_error(context.instance, str(error))
        raise
    except Exception as error:
        _log.error("%s", mask("".join(traceback.format_exception(error))))
        failed = SourceFailedError(mask(f"{type(error).__name__}: {error}"))
        context.state.save_source_error(context.instance, str(failed))
        raise failed from None


class SourceFailedError(RetaildError):
    """Something that a plugin let out and nobody foresaw."""

    key = "source.failed"


@dataclass
class SourceRunner:
    context: ComponentContext
    taken: Taken = field(default_factory=Taken)
    doing: str = "starting"
    _opened: bool = False
    _meter: Meter = field(default_factory=Meter)

    def run(self) -> None:
        while not self.context.stop.is_set():
            try:
                self._session()
            except LostError:
                _log.warning("the ingest worker is gone; going on from the saved position")
            except NoHubError:
                if not self.context.stop.is_set():
                    raise

    def _session(self) -> None:
        """One connection, and one life of the source."""
        context = self.context
        self.doing = "waiting for the ingest worker"
        spec = context.plugins.spec("source", context.plugin.plugin)
        source = context.build("source", context.instance)
        with (
            closing_always(source, context.name),
            linked(
                context.data, context.instance, spec.read_ahead, self._shall_not_wait, _HUB_SECONDS
            ) as link,
        ):
            source.open(link.position)
            self._now_open()
            self._work(source, link)

    def _now_open(self) -> None:
        self._opened = True
        self.doing = "waiting for input"
        self.beat()
        self.context.state.save_source_error(self.context.instance, None)

    def beat(self) -> None:
        self.context.heartbeat(
            rows=self.taken.accepted + self.taken.dead,
            rows_per_second=round(self._meter.count(self.taken.accepted + self.taken.dead), 1),
            dead_letters=self.taken.dead,
            doing=self.doing,
        )

    def _shall_not_wait(self) -> bool:
        """Beats while the hub is away, but not before the source was opened once."""
        if self._opened:
            self.beat()
        return self.context.stop.is_set()

    def _work(self, source: Any, link: Link) -> None:
        while not self.context.stop.is_set():
            self._hear(source, link, 0.0)
            if link.credit == 0:
                self.doing = link.notice or self.doing
                self._hear(source, link, _POLL)
                self.beat()
                continue
            self.beat()
            batch = source.poll()
            if batch is None:
                self.doing = "waiting for input"
                self._hear(source, link, _POLL)
            else:
                self._send(link, batch)
        self._last_answers(source, link)

    def _send(self, link: Link, batch: SourceBatch) -> None:
        self.doing = f"{mask(batch.label)} {batch.done}/{batch.total or '?'}"[:200]
        link.send(batch, self._while_sending)

    def _while_sending(self) -> None:
        """Half a frame is nothing: after a stop the position stays before it."""
        self.beat()
        if self.context.stop.is_set():
            raise LostError

    def _hear(self, source: Any, link: Link, seconds: float) -> None:
        for position, taken in link.answers(seconds):
            self.taken += taken
            if hasattr(source, "confirmed"):
                self.beat()
                source.confirmed(position)

    def _last_answers(self, source: Any, link: Link) -> None:
        """So that the source can let go of what is durable; after a kill it may not hear it."""
        for left in _countdown(_LAST_ANSWERS):
            if not link.open:
                return
            self._hear(source, link, min(left, _POLL))


def _countdown(seconds: float) -> Iterator[float]:
    """Seconds left, as long as some are."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        yield left
