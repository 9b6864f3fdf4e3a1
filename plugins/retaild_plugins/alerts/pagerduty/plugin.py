"""Registers the alert sink `pagerduty`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import AlertSink, AlertSinkSpec, BuildContext, hookimpl
from retaild_plugins.alerts.pagerduty.config import PagerDutyConfig


def _build(config: PagerDutyConfig, context: BuildContext) -> AlertSink:
    from retaild_plugins.alerts.pagerduty.sink import PagerDutySink

    return PagerDutySink(config)


@hookimpl
def retaild_alert_sinks() -> Sequence[AlertSinkSpec]:
    return [
        AlertSinkSpec(
            name="pagerduty",
            summary="Incidents in PagerDuty, by its Events API v2.",
            config=PagerDutyConfig,
            build=_build,
        )
    ]
