"""Registers the managed service and the deploy target `redis`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import (
    BuildContext,
    DeployTarget,
    DeployTargetSpec,
    Service,
    ServiceSpec,
    Software,
    hookimpl,
)
from retaild.api.service import Debian
from retaild_plugins.cluster.redis.config import RedisServiceConfig, RedisTargetConfig

SOFTWARE = Software("redis", "7", (Debian("redis-server", "redis-server"),), disk_mib=10)


def _service(config: RedisServiceConfig, context: BuildContext) -> Service:
    from retaild_plugins.cluster.redis.service import RedisService

    return RedisService(config, context)


def _target(config: RedisTargetConfig, context: BuildContext) -> DeployTarget:
    from retaild_plugins.cluster.redis.target import RedisTarget

    return RedisTarget(config, context)


@hookimpl
def retaild_services() -> Sequence[ServiceSpec]:
    return [
        ServiceSpec(
            name="redis",
            summary="Redis 7: answers and features in memory, for other programs to read.",
            config=RedisServiceConfig,
            build=_service,
            requires=("redis",),
            software=(SOFTWARE,),
            memory_mib=320,
        )
    ]


@hookimpl
def retaild_deploy_targets() -> Sequence[DeployTargetSpec]:
    return [
        DeployTargetSpec(
            name="redis",
            summary="Publishes products and recommendations into Redis.",
            config=RedisTargetConfig,
            build=_target,
            requires=("redis",),
        )
    ]
