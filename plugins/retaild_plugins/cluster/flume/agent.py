"""The agent's configuration: sources -> a channel on the disk -> Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from retaild.api.kafka import java_settings
from retaild_plugins.cluster.flume.config import FlumeServiceConfig

NAME = "retaild"
_MIB = 1024 * 1024


def agent_settings(
    config: FlumeServiceConfig, root: Path, client: Mapping[str, str]
) -> dict[str, object]:
    """Flume's properties; they hold a password. `root`: the service's own directory."""
    sources = {**_followed(config, root), **_watched(config)}
    settings: dict[str, object] = {
        f"{NAME}.sources": " ".join(sources), f"{NAME}.channels": "disk", f"{NAME}.sinks": "kafka",
    }  # fmt: skip
    for name, own in sources.items():
        settings |= {f"{NAME}.sources.{name}.{key}": value for key, value in own.items()}
        settings[f"{NAME}.sources.{name}.channels"] = "disk"
    settings |= {f"{NAME}.channels.disk.{key}": v for key, v in _channel(config, root).items()}
    settings |= {f"{NAME}.sinks.kafka.{key}": v for key, v in _sink(config, client).items()}
    return settings


def components(config: FlumeServiceConfig) -> list[str]:
    """What must have started, by the words of the agent's log."""
    sources = [*(["follow"] if config.follow else []), *_watched(config)]
    return [
        "Component type: CHANNEL, name: disk started",
        "Component type: SINK, name: kafka started",
        *(f"Component type: SOURCE, name: {name} started" for name in sources),
    ]


def _followed(config: FlumeServiceConfig, root: Path) -> dict[str, dict[str, object]]:
    if not config.follow:
        return {}
    groups = {f"filegroups.g{number}": path for number, path in enumerate(config.follow)}
    return {
        "follow": {
            "type": "TAILDIR",
            "positionFile": root / "follow.json",
            "filegroups": " ".join(name.partition(".")[2] for name in groups),
            **groups,
            "batchSize": 1000,
            # What was read after the last position is read again when the agent was killed.
            "writePosInterval": 1000,
        }
    }


def _watched(config: FlumeServiceConfig) -> dict[str, dict[str, object]]:
    return {
        f"folder{number}": {
            "type": "spooldir",
            "spoolDir": folder,
            "deletePolicy": "immediate" if config.delete_finished else "never",
            "deserializer.maxLineLength": config.max_line_bytes,
            "decodeErrorPolicy": "REPLACE",
            "batchSize": 1000,
            "pollDelay": 200,
        }
        for number, folder in enumerate(config.folders)
    }


def _channel(config: FlumeServiceConfig, root: Path) -> dict[str, object]:
    return {
        "type": "file",
        "checkpointDir": root / "channel/checkpoint",
        "dataDirs": root / "channel/data",
        "capacity": config.capacity,
        "transactionCapacity": 10_000,
        "maxFileSize": 64 * _MIB,
        "minimumRequiredSpace": 128 * _MIB,
    }


def _sink(config: FlumeServiceConfig, client: Mapping[str, str]) -> dict[str, object]:
    producer = {"acks": "all", "compression.type": "lz4", **java_settings(client)}
    return {
        "type": "org.apache.flume.sink.kafka.KafkaSink",
        "channel": "disk",
        "kafka.bootstrap.servers": config.bootstrap_servers,
        "kafka.topic": config.topic,
        "flumeBatchSize": 1000,
        **{f"kafka.producer.{key}": value for key, value in producer.items()},
    }
