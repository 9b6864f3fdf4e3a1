"""Registers the managed service `hive`."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from retaild.api import BuildContext, Service, ServiceSpec, Software, hookimpl
from retaild.api.service import Build, Maven, Pip
from retaild_plugins.cluster.hive.config import HiveServiceConfig

_HERE = Path(__file__).parent
_SOURCE = _HERE / "Metastore.java"
_SPARK = _HERE.parent / "spark"


def _compile(home: Path) -> None:
    from retaild_plugins.cluster.hive.service import compiled

    subprocess.run(compiled(home, _SOURCE), check=True, capture_output=True, text=True)


#: The metastore is among the jars that pyspark brings: the same software as the plugin `spark` has.
SPARK = Software(
    "spark",
    "4.2.0",
    (Maven(_SPARK / "pom.xml"), Pip(_SPARK / "requirements.txt")),
    disk_mib=1500,
)
SOFTWARE = Software(
    "hive",
    "2.3.10",
    (Maven(_HERE / "pom.xml"), Build(_compile, (_SOURCE,))),
    disk_mib=10,
)


def _service(config: HiveServiceConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.hive.service import HiveService

    return HiveService(config, context)


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="hive",
            summary="Hive Metastore: the lake's tables by name, for Spark and others.",
            config=HiveServiceConfig,
            build=_service,
            software=(SPARK, SOFTWARE),
            java=17,
            memory_mib=300,
        )
    ]
