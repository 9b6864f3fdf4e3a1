"""One source of the ingest worker: open, poll, write, remember; and again after a failure."""

from __future__ import annotations

import logging
import time
from typing import Any

from retaild.api.bus import Bus
from retaild.api.source import SourceBatch
from retaild.config.sections import PluginInstance
from retaild.events.cards import mask
from retaild.host.lifecycle import close_quietly, open_by_policy
from retaild.runtime.backoff import Backoff
from retaild.runtime.context import WorkerContext
from retaild.runtime.ingest_append import Taken, append_batch
from retaild.runtime.ingest_backlog import Backlog

_log = logging.getLogger(__name__)

#: Pause between two looks for something new, in seconds.
_POLL = 0.2


class SourceRunner:
    """Runs in a thread. `taken`, `doing` and `failing` are read by others for the figures."""

    def __init__(
        self, context: WorkerContext, name: str, instance: PluginInstance, bus: Bus
    ) -> None:
        self.name = name
        self.taken = Taken()
        self.doing = "starting"
        self.failing = False
        self._context, self._instance, self._bus = context, instance, bus
        self._backlog = Backlog(bus, context.lake(), context.settings.api.max_backlog_rows)
        self._backoff = Backoff(first=0.5, cap=60.0)

    def run(self) -> None:
        """Until stop; only `startup = "error"` lets what went wrong at the start out."""
        stop = self._context.stop
        while not stop.is_set():
            began = time.monotonic()
            if not self._open():
                return
            try:
                self._work()
            except Exception as error:  # whatever a plugin raises is its own source's fault
                self._failed(error)
                stop.wait(self._backoff.pause(time.monotonic() - began))
            finally:
                close_quietly(self._source, self.name)
        self._context.state.close()

    def _open(self) -> bool:
        """False if the source is left out, or it is time to stop."""
        self._source: Any = _Unbuilt()

        def build_and_open() -> None:
            self._source = self._context.build("source", self.name)
            self._source.open(self._context.state.source_position(self.name))

        opened = open_by_policy(
            f"source {self.name}",
            _Later(self),
            build_and_open,
            self._instance.startup,
            self._context.stop,
            self._failed,
        )
        if opened:
            self._recovered()
        elif not self._context.stop.is_set():
            self.doing = "left out"
        return opened

    def _work(self) -> None:
        stop = self._context.stop
        while not stop.is_set():
            self._backlog.wait(stop, self._waits)
            if stop.is_set():
                return
            batch = self._source.poll()
            if batch is None:
                self.doing = "waiting for input"
                stop.wait(_POLL)
            else:
                self._take(batch)

    def _take(self, batch: SourceBatch) -> None:
        taken = append_batch(self._bus, batch)
        state = self._context.state
        # Only now: a row that the position has passed is in the log.
        state.save_source_position(self.name, batch.position)
        state.count_source(
            self.name,
            accepted=taken.accepted,
            dead=taken.dead,
            refused_cards=taken.refused_cards,
        )
        if hasattr(self._source, "confirmed"):
            self._source.confirmed(batch.position)
        self.taken += taken
        self.doing = f"{mask(batch.label)} {batch.done}/{batch.total or '?'}"
        if self.failing:
            self._recovered()

    def _waits(self) -> None:
        self.doing = "waiting for the lake"

    def _failed(self, error: Exception) -> None:
        text = mask(str(error) or type(error).__name__)
        self.failing = True
        self.doing = text[:200]
        self._context.state.save_source_error(self.name, text)
        _log.warning("source %s: %s", self.name, text)

    def _recovered(self) -> None:
        if self.failing:
            _log.info("source %s works again", self.name)
        self.failing = False
        self._context.state.save_source_error(self.name, None)


class _Unbuilt:
    def close(self) -> None:
        """There is nothing to close yet."""


class _Later:
    """Closes the source that the runner has by then: each attempt builds a new one."""

    def __init__(self, runner: SourceRunner) -> None:
        self._runner = runner

    def close(self) -> None:
        self._runner._source.close()
