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
from retaild.config.settings import Settings
from retaild.host.environments import Launch, launch_of
from retaild.host.registry import PluginRegistry
from retaild.runtime import machine
from retaild.runtime.component import process_name
from retaild.runtime.isolation.birth import Order


@dataclass(frozen=True, slots=True)
class Isolated:
    """How one component of a plugin lives in its own process."""

    order: Order
    limits: LimitsSection = field(default_factory=LimitsSection)
    startup: str = "retry"

    @property
    def instance(self) -> str:
        return self.order.instance


@dataclass(frozen=True, slots=True)
class Hosting:
    """A plugin that works in one of the host's workers by its nature, and what both may take."""

    instance: str
    limits: LimitsSection
    #: Whether failures put it into quarantine.
    quarantines: bool = False
    #: A sign of life is due so often, where that is stated for it.
    hung_seconds: float | None = None
    #: The figure that the worker gives once the plugin is open; None: no time is set for that.
    opened: str | None = None
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
    hosting: Hosting | None = None

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
#: Processes of a worker: an engine may start some for each core.
_WORKER_PROCESSES = 256
#: Memory of the ingest worker with the bus in it (MiB), where nothing is stated: it holds what is
#: on its way, however large the shop is.
_INGEST_MIB = 2048
#: Share of the machine's memory, where nothing is stated, of the stream worker, which holds a hash
#: of every event there was and perhaps an engine, and of the server, which holds the shop; and the
#: least that is (MiB). As much as a job may take.
_SHARE, _LEAST_MIB = 0.75, 2048
#: Of the stream worker, where nothing is stated. Ten failures take most of a minute, so that a
#: short want of the machine's memory or threads leaves no lake that waits for a person; ten times
#: hung or not open fit into the window. A Java of an engine may take two minutes to start.
_PATIENCE = {"failures": 10, "window_seconds": 1800.0, "open_seconds": 150.0}


def plan_worker(
    kind: str,
    data: DataDir,
    config: Path | None,
    entry: str | None = None,
    hosting: Hosting | None = None,
) -> WorkerPlan:
    command = [sys.executable, "-m", "retaild.runtime.worker", kind, "--data", str(data.root)]
    command += ["--config", str(config)] if config else []
    command += ["--entry", entry] if entry else []
    return WorkerPlan(
        kind, kind, tuple(command), STAGES.get(kind, 0), GRACES.get(kind, 4.0), hosting=hosting
    )


def hosting_of(worker: str, settings: Settings) -> Hosting | None:
    """Which plugin's limits bound a worker; None: it has none."""
    if worker == "stream":
        stated = settings.stream.limits
        hung = stated.hung_seconds if "hung_seconds" in stated.model_fields_set else None
        limits = _completed(stated, _share_of_machine(), **_PATIENCE)
        return Hosting("stream", limits, quarantines=True, hung_seconds=hung, opened="offset")
    if worker == "ingest":
        return Hosting("bus", _completed(settings.bus.limits, _INGEST_MIB))
    if worker == "serve":
        return Hosting("bus", _completed(LimitsSection(), _share_of_machine()))
    return None


def _share_of_machine() -> int:
    return max(_LEAST_MIB, int(_SHARE * machine.memory_mib()))


def _completed(stated: LimitsSection, memory_mib: int, **more: float) -> LimitsSection:
    usual = {"memory_mib": memory_mib, "processes": _WORKER_PROCESSES, **more}
    given = stated.model_fields_set
    return stated.model_copy(update={k: v for k, v in usual.items() if k not in given})


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
