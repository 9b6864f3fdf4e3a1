"""Registers the managed service and the stream processor `flink`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import (
    BuildContext,
    Service,
    ServiceSpec,
    StreamProcessor,
    StreamProcessorSpec,
    hookimpl,
)
from retaild_plugins.cluster.flink.config import FlinkServiceConfig, FlinkStreamConfig
from retaild_plugins.cluster.flink.software import SOFTWARE


def _service(config: FlinkServiceConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.flink.service import FlinkService

    return FlinkService(config, context)


def _stream(config: FlinkStreamConfig, context: BuildContext) -> StreamProcessor:
    from retaild_plugins.cluster.flink.processor import FlinkProcessor

    return FlinkProcessor(config, context)


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="flink",
            summary="One Flink session cluster for this machine: JobManager and TaskManager.",
            config=FlinkServiceConfig,
            build=_service,
            software=(SOFTWARE,),
            after=("kafka",),
            java=17,
            memory_mib=1600,
        )
    ]


@hookimpl
def retaild_stream_processors() -> Sequence[StreamProcessorSpec]:
    return [
        StreamProcessorSpec(
            name="flink",
            summary="Log to lake by a Flink job that reads Kafka, exactly once.",
            config=FlinkStreamConfig,
            build=_stream,
            supports=frozenset({"Map", "Filter", "Dedup", "Window", "Emit"}),
            software=(SOFTWARE,),
        )
    ]
