"""Registers the managed service and the deploy target `elasticsearch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retaild.api import (
    BuildContext,
    DeployTarget,
    DeployTargetSpec,
    Service,
    ServiceSpec,
    Software,
    hookimpl,
)
from retaild.api.service import Maven
from retaild_plugins.cluster.elasticsearch.config import (
    ElasticsearchServiceConfig,
    ElasticsearchTargetConfig,
)

SOFTWARE = Software(
    "elasticsearch", "8.19.21", (Maven(Path(__file__).with_name("pom.xml")),), disk_mib=230
)


def _service(config: ElasticsearchServiceConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.elasticsearch.service import ElasticsearchService

    return ElasticsearchService(config, context)


def _target(config: ElasticsearchTargetConfig, context: BuildContext) -> DeployTarget:
    from retaild_plugins.cluster.elasticsearch.target import ElasticsearchTarget

    return ElasticsearchTarget(config, context)


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="elasticsearch",
            summary="Elasticsearch 8: product search, and answers for other programs to read.",
            config=ElasticsearchServiceConfig,
            build=_service,
            requires=("elasticsearch",),
            software=(SOFTWARE,),
            java=17,
            memory_mib=1100,
        )
    ]


@hookimpl
def retaild_deploy_targets() -> Sequence[DeployTargetSpec]:
    return [
        DeployTargetSpec(
            name="elasticsearch",
            summary="Publishes products and recommendations into Elasticsearch; finds products.",
            config=ElasticsearchTargetConfig,
            build=_target,
            requires=("elasticsearch",),
            searchable=True,
        )
    ]
