"""Registers the source plugin `mqtt`. Imports no more than that needs."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, Source, SourceSpec, hookimpl

from retaild_mqtt.config import FAMILIES, MqttConfig


def _build(config: MqttConfig, context: BuildContext) -> Source:
    # Imported late: listing and checking plugins needs none of what this needs.
    from retaild_mqtt.source import MqttSource

    return MqttSource(config, context)


@hookimpl
def retaild_sources() -> Sequence[SourceSpec]:
    return [
        SourceSpec(
            name="mqtt",
            summary="Messages of an MQTT broker, acknowledged only when they are on disk.",
            config=MqttConfig,
            build=_build,
            families=FAMILIES,
            read_ahead=4,
            requires=("paho-mqtt",),
        )
    ]
