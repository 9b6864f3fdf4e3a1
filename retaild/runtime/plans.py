"""What the supervisor keeps alive: plans, each made from the configuration and nothing else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retaild.api.errors import ConfigError
from retaild.api.service import ServiceSpec
from retaild.config.paths import DataDir
from retaild.config.sections import LimitsSection, PluginInstance
from retaild.host.environments import Launch, launch_of
from retaild.host.registry import PluginRegistry
from retaild.runtime.component import process_name
from retaild.runtime.isolation.birth import Order


@dataclass(frozen=True, slots=True)
class Isolated:
    """How one component of a plugin lives in its own process."""

    order: Order
    limits: LimitsSection = field(default_factory=LimitsSection)
    startup: str = "retry"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """A worker to keep alive. Workers of a lower `stage` are stopped first."""

    name: str
    kind: str
    command: tuple[str, ...] = ()
    stage: int = 0
    #: Seconds it gets for an orderly end before it is killed.
    grace: float = 4.0
    #: What it was made from: a plan with the same fingerprint need not be replaced.
    fingerprint: str = ""
    #: Descriptors that the process inherits, and what tells it so in its environment.
    pass_fds: tuple[int, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    #: Forked by the fork server, instead of `command`.
    isolated: Isolated | None = None

    @property
    def files(self) -> set[Path]:
        """What it names, its configuration among it: it reads that whenever it is started."""
        config = self.isolated.order.config if self.isolated is not None else None
        return {Path(word) for word in (*self.command, config) if word}


#: Sources end first: what they sent is acknowledged while the hub still runs. Then the doors, then
#: the stream, which carries what they let in to the lake, and the sinks, which may tell of it.
STAGES = {
    "source": -1,
    "ingest": 0,
    "serve": 0,
    "identity": 0,
    "stream": 1,
    "alert": 1,
    "service": 3,
}
#: The server lets requests that it has begun end. In an orderly end all stages together stay below
#: ten seconds, but for managed services: a database may take its time to close.
GRACES = {"serve": 5.5, "source": 2.5, "identity": 2.5, "service": 45.0}
#: What a managed service may take where its instance states nothing.
SERVICE_LIMITS = {"processes": 64, "open_seconds": 300.0}


def plan_worker(
    kind: str, data: DataDir, config: Path | None, entry: str | None = None
) -> WorkerPlan:
    command = [sys.executable, "-m", "retaild.runtime.worker", kind, "--data", str(data.root)]
    command += ["--config", str(config)] if config else []
    command += ["--entry", entry] if entry else []
    return WorkerPlan(kind, kind, tuple(command), STAGES.get(kind, 0), GRACES.get(kind, 4.0))


def plan_instance(
    kind: str,
    name: str,
    instance: PluginInstance,
    data: DataDir,
    config: Path | None,
    *,
    entry: str | None = None,
    launch: Launch | None = None,
) -> WorkerPlan:
    """A component in a process of its own; `entry` runs instead of its kind's own runner."""
    launch = launch or launch_of(kind, instance.plugin, data)
    if kind == "service":
        return _plan_service(name, instance, data, config, launch)
    order = Order(
        process_name(kind, name), kind, name, str(data.root),
        config=str(config) if config else None,
        entry=entry,
        python=str(launch.python) if launch.python else None,
        path=launch.path,
        memory_mib=instance.limits.memory_mib,
    )  # fmt: skip
    return WorkerPlan(
        order.name, kind, stage=STAGES.get(kind, 0), grace=GRACES.get(kind, 4.0),
        isolated=Isolated(order, instance.limits, instance.startup),
    )  # fmt: skip


def _plan_service(
    name: str, instance: PluginInstance, data: DataDir, config: Path | None, launch: Launch
) -> WorkerPlan:
    """Its limits are those of its servers; it ends after those that need it."""
    facts = _facts_of(instance.plugin, data)
    stated = instance.limits.model_fields_set
    usual = {**SERVICE_LIMITS, "memory_mib": 2 * facts.memory_mib}
    limits = instance.limits.model_copy(
        update={key: value for key, value in usual.items() if key not in stated}
    )
    order = Order(
        process_name("service", name), "service", name, str(data.root),
        config=str(config) if config else None,
        python=str(launch.python) if launch.python else None,
        path=launch.path,
        memory_mib=limits.memory_mib,
        confined=False,
    )  # fmt: skip
    return WorkerPlan(
        order.name, "service", stage=STAGES["service"] - bool(facts.after),
        grace=GRACES["service"], isolated=Isolated(order, limits, instance.startup),
    )  # fmt: skip


def _facts_of(plugin: str, data: DataDir) -> Any:
    """What its Spec states; the interface's defaults where there is no such plugin (any more)."""
    try:
        return PluginRegistry.load(data).facts("service", plugin)
    except ConfigError:
        return ServiceSpec(name=plugin, summary="", build=lambda *_: None)
