"""Registers the bus `embedded`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, Bus, BusSpec, hookimpl
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig


def _build(config: EmbeddedLogConfig, context: BuildContext) -> Bus:
    from retaild_plugins.buses.embedded.log import EmbeddedLog

    return EmbeddedLog(config, context.state_dir)


@hookimpl
def retaild_buses() -> Sequence[BusSpec]:
    return [
        BusSpec(
            name="embedded",
            summary="Durable log in files of this machine; needs no server.",
            config=EmbeddedLogConfig,
            build=_build,
        )
    ]
