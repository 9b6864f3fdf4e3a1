"""Registers the stream processor `embedded`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, StreamProcessor, StreamProcessorSpec, hookimpl
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig


def _build(config: EmbeddedStreamConfig, context: BuildContext) -> StreamProcessor:
    from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

    return EmbeddedProcessor(config, context)


@hookimpl
def retaild_stream_processors() -> Sequence[StreamProcessorSpec]:
    return [
        StreamProcessorSpec(
            name="embedded",
            summary="Log to lake on this machine, exactly once; needs no server.",
            config=EmbeddedStreamConfig,
            build=_build,
            supports=frozenset({"Map", "Filter", "Dedup", "Window", "Emit"}),
        )
    ]
