"""Registers the managed service `flume`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retaild.api import BuildContext, Service, ServiceSpec, Software, hookimpl
from retaild.api.service import Maven
from retaild_plugins.cluster.flume.config import FlumeServiceConfig

SOFTWARE = Software("flume", "1.11.0", (Maven(Path(__file__).with_name("pom.xml")),), disk_mib=46)


def _service(config: FlumeServiceConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.flume.service import FlumeService

    return FlumeService(config, context)


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="flume",
            summary="A Flume agent that ships files and growing logs into a Kafka topic.",
            config=FlumeServiceConfig,
            build=_service,
            requires=("confluent-kafka",),
            software=(SOFTWARE,),
            after=("kafka",),
            java=17,
            memory_mib=320,
        )
    ]
