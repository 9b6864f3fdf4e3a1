"""Registers the alert plugin `webhook`. Imports no more than that needs."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import AlertSink, AlertSinkSpec, BuildContext, hookimpl

from retaild_webhook.config import WebhookConfig


def _build(config: WebhookConfig, context: BuildContext) -> AlertSink:
    # Imported late: listing and checking plugins needs none of what this needs.
    from retaild_webhook.sink import WebhookSink

    return WebhookSink(config, context)


@hookimpl
def retaild_alert_sinks() -> Sequence[AlertSinkSpec]:
    return [
        AlertSinkSpec(
            name="webhook",
            summary="Posts alerts as signed JSON to an address of yours.",
            config=WebhookConfig,
            build=_build,
        )
    ]
