"""Registers the alert sink `email`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import AlertSink, AlertSinkSpec, BuildContext, hookimpl
from retaild_plugins.alerts.email.config import EmailConfig


def _build(config: EmailConfig, context: BuildContext) -> AlertSink:
    from retaild_plugins.alerts.email.sink import EmailSink

    return EmailSink(config)


@hookimpl
def retaild_alert_sinks() -> Sequence[AlertSinkSpec]:
    return [
        AlertSinkSpec(
            name="email",
            summary="Plain mails, one thread per group of alerts.",
            config=EmailConfig,
            build=_build,
        )
    ]
