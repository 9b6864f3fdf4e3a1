"""What the host hands to the code of a worker or a job."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retaild.api.bus import Bus
from retaild.api.lake import Lake
from retaild.config.paths import DataDir
from retaild.config.settings import Settings, load_settings
from retaild.host.registry import PluginRegistry
from retaild.runtime.backup.errors import HalfRestoredError
from retaild.runtime.heartbeat import Heart
from retaild.runtime.state import State


@dataclass(frozen=True)
class Context:
    """A process's surroundings. `stop` is set when it shall end in an orderly way."""

    name: str
    settings: Settings
    data: DataDir
    plugins: PluginRegistry
    state: State
    stop: threading.Event

    def lake(self) -> Lake:
        return Lake(self.data.lake)

    def bus(self) -> Bus:
        """The configured bus, not opened yet."""
        bus: Bus = self.build("bus", "bus")
        return bus

    def build(self, kind: str, instance: str) -> Any:
        """The component of a configured instance, not opened yet. Raises ConfigError.

        This imports a stranger's plugin into the process. A component's own process, a job and a
        command do nothing beside it. Bus, stream processor and the models of a trainer work in the
        workers by their nature: to look at them, `plugins.facts` is enough.
        """
        section = getattr(self.settings, kind)
        plugin = section[instance] if isinstance(section, dict) else section
        return self.plugins.build(kind, instance, plugin, self.settings, self.data)


@dataclass(frozen=True)
class WorkerContext(Context):
    heart: Heart = field(default_factory=Heart)

    def heartbeat(self, **figures: float | str) -> None:
        """Say that the work goes on, with its figures (throughput, lag). At least every 2 s.

        Costs next to nothing: a thread writes the newest figures to the state every second. A
        worker that stops calling this is killed after `retaild.hung_seconds`.
        """
        self.heart.beat(figures)


@dataclass(frozen=True)
class JobContext(Context):
    run_id: int = 0
    #: Told the fraction done in 0..1 and what is being done.
    progress: Callable[[float, str], None] = lambda _fraction, _text: None
    arguments: dict[str, str] = field(default_factory=dict)


def surroundings(config: Path | None, data: Path | None) -> tuple[Settings, DataDir]:
    """Settings and data directory as the command line names them.

    Raises ConfigFaultsError, and HalfRestoredError before anything is made or opened there.
    """
    settings = load_settings(config, data)
    directory = DataDir(settings.retaild.data_dir)
    if directory.restoring.exists():
        raise HalfRestoredError(directory.root)
    directory.create()
    os.umask(0o027)
    return settings, directory


def offline_context(config: Path | None = None, data: Path | None = None) -> Context:
    """For commands that work on the data directory themselves, without the daemon."""
    settings, directory = surroundings(config, data)
    state = State(directory.state_db)
    stop = threading.Event()
    return Context("command", settings, directory, PluginRegistry.load(directory), state, stop)
