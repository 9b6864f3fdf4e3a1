"""Registers what runs on Spark: batch engine, stream processor, trainer, a cluster as a service."""

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
    Trainer,
    TrainerSpec,
    hookimpl,
)
from retaild.api.service import Maven, Pip
from retaild_plugins.cluster.spark.config import (
    SparkConfig,
    SparkServiceConfig,
    SparkStreamConfig,
    SparkTrainerConfig,
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


def _trainer(config: SparkTrainerConfig, context: BuildContext) -> Trainer:
    from retaild_plugins.cluster.spark.als.trainer import AlsTrainer

    return AlsTrainer(config, context)


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
def retaild_trainers() -> Sequence[TrainerSpec]:
    return [
        TrainerSpec(
            name="spark",
            summary="MLlib's ALS and habits, learned on Spark and served without it.",
            config=SparkTrainerConfig,
            build=_trainer,
            requires=("numpy", "pyarrow"),
            software=(SOFTWARE,),
            produces="recommender",
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
