"""Registers the bus, the managed service and the source `kafka`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retaild.api import (
    BuildContext,
    Bus,
    BusSpec,
    Service,
    ServiceSpec,
    Software,
    Source,
    SourceSpec,
    hookimpl,
)
from retaild.api.service import Maven
from retaild_plugins.cluster.kafka.config import KafkaBusConfig, KafkaServiceConfig
from retaild_plugins.cluster.kafka.source_config import KafkaSourceConfig

SOFTWARE = Software("kafka", "4.3.1", (Maven(Path(__file__).with_name("pom.xml")),), disk_mib=55)


def _bus(config: KafkaBusConfig, context: BuildContext) -> Bus:
    from retaild_plugins.cluster.kafka.bus import KafkaBus

    return KafkaBus(config, context)


def _service(config: KafkaServiceConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.kafka.service import KafkaService

    return KafkaService(config, context)


def _source(config: KafkaSourceConfig, context: BuildContext) -> Source:
    from retaild_plugins.cluster.kafka.source import KafkaSource

    return KafkaSource(config, context)


@hookimpl
def retaild_buses() -> Sequence[BusSpec]:
    return [
        BusSpec(
            name="kafka",
            summary="The log in a Kafka topic; events wait on this machine while Kafka is away.",
            config=KafkaBusConfig,
            build=_bus,
            requires=("confluent-kafka",),
        )
    ]


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="kafka",
            summary="One Kafka broker (KRaft, no ZooKeeper) for this machine.",
            config=KafkaServiceConfig,
            build=_service,
            requires=("confluent-kafka",),
            software=(SOFTWARE,),
            java=17,
            memory_mib=600,
        )
    ]


@hookimpl
def retaild_sources() -> Sequence[SourceSpec]:
    return [
        SourceSpec(
            name="kafka",
            summary="Topics that others write: retaild's events as JSON, or lines with a mapping.",
            config=KafkaSourceConfig,
            build=_source,
            families=("sale", "activity", "stock", "product", "price", "customer", "external"),
            read_ahead=2,
            requires=("confluent-kafka", "pyarrow"),
        )
    ]
