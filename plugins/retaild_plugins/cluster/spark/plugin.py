"""Registers what runs on Spark: batch engine, stream processor, and a cluster as a service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retaild.api import (
    BatchEngine,
    BatchEngineSpec,
    BuildContext,
    Service,
    ServiceSpec,
    Software,
    StreamProcessor,
    StreamProcessorSpec,
    hookimpl,
)
from retaild.api.service import Maven, Pip
from retaild_plugins.cluster.spark.config import (
    SparkConfig,
    SparkServiceConfig,
    SparkStreamConfig,
)

_HERE = Path(__file__).parent

SOFTWARE = Software(
    "spark",
    "4.2.0",
    (Maven(_HERE / "pom.xml"), Pip(_HERE / "requirements.txt")),
    disk_mib=1500,
)


def _batch(config: SparkConfig, context: BuildContext) -> BatchEngine:
    from retaild_plugins.cluster.spark.batch import SparkEngine

    return SparkEngine(config, context)


def _stream(config: SparkStreamConfig, context: BuildContext) -> StreamProcessor:
    from retaild_plugins.cluster.spark.stream.processor import SparkProcessor

    return SparkProcessor(config, context)


def _service(config: SparkServiceConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.spark.service import SparkService

    return SparkService(config, context)


@hookimpl
def retaild_batch_engines() -> Sequence[BatchEngineSpec]:
    return [
        BatchEngineSpec(
            name="spark",
            summary="Runs the gold layer's SQL on Spark, in one process or on a cluster.",
            config=SparkConfig,
            build=_batch,
            requires=("sqlglot",),
            software=(SOFTWARE,),
            dialect="spark",
        )
    ]


@hookimpl
def retaild_stream_processors() -> Sequence[StreamProcessorSpec]:
    return [
        StreamProcessorSpec(
            name="spark",
            summary="Kafka to lake by Spark Structured Streaming, exactly once.",
            config=SparkStreamConfig,
            build=_stream,
            software=(SOFTWARE,),
            supports=frozenset({"Map", "Filter", "Dedup", "Window", "Emit"}),
        )
    ]


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="spark",
            summary="A standalone Spark cluster on this machine: a master and a worker.",
            config=SparkServiceConfig,
            build=_service,
            software=(SOFTWARE,),
            java=17,
            memory_mib=1600,
        )
    ]
