"""Registers the alert sink `opsgenie`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import AlertSink, AlertSinkSpec, BuildContext, hookimpl
from retaild_plugins.alerts.opsgenie.config import OpsgenieConfig


def _build(config: OpsgenieConfig, context: BuildContext) -> AlertSink:
    from retaild_plugins.alerts.opsgenie.sink import OpsgenieSink

    return OpsgenieSink(config)


@hookimpl
def retaild_alert_sinks() -> Sequence[AlertSinkSpec]:
    return [
        AlertSinkSpec(
            name="opsgenie",
            summary="Alerts in Opsgenie, by its Alert API v2.",
            config=OpsgenieConfig,
            build=_build,
        )
    ]
