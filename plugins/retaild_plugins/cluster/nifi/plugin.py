"""Registers the managed service `nifi`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retaild.api import BuildContext, Service, ServiceSpec, Software, hookimpl
from retaild.api.service import Maven
from retaild_plugins.cluster.nifi.config import NifiConfig

_HERE = Path(__file__).parent
SOFTWARE = Software(
    "nifi", "1.18.0",
    (
        Maven(_HERE / "pom.xml", "lib"),
        Maven(_HERE / "pom-java11.xml", "lib/java11"),
        Maven(_HERE / "pom-bootstrap.xml", "lib/bootstrap"),
    ),
    disk_mib=420,
)  # fmt: skip


def _build(config: NifiConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.nifi.service import NifiService

    return NifiService(config, context)


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="nifi",
            summary="Apache NiFi: flows that bring files, posts and tailed logs to the doors.",
            config=NifiConfig,
            build=_build,
            requires=("nipyapi",),
            software=(SOFTWARE,),
            java=17,
            memory_mib=900,
        )
    ]
