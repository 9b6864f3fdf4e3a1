"""The stream processor: reads the log itself, a micro-batch at a time."""

from __future__ import annotations

from retaild.api import BuildContext, Bus, StreamProgress
from retaild.pipeline.carry.carrier import Carrier, Piece
from retaild.pipeline.entries import decode
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig


class EmbeddedProcessor:
    def __init__(self, config: EmbeddedStreamConfig, context: BuildContext) -> None:
        self._batch_rows = config.batch_rows
        self._carrier = Carrier(context, config.batch_rows)
        self._bus: Bus | None = None

    def open(self, bus: Bus) -> StreamProgress:
        self._bus = bus
        return self._carrier.open(bus)

    def step(self) -> StreamProgress:
        return self._carrier.step(self._read)

    def close(self) -> None:
        self._carrier.close()
        self._bus = None

    def _read(self, offset: int) -> Piece | None:
        assert self._bus is not None, "the stream processor is not open"
        entries = self._bus.read(offset, self._batch_rows)
        if not entries:
            return None
        last = entries[-1]
        return Piece(decode(entries), last.offset + 1, last.rows_before + last.entry.rows)
