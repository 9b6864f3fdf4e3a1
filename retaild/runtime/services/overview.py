"""What there is to tell of managed services: installed, configured, running, with figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retaild.api.base import Spec
from retaild.api.service import ServiceSpec, Software
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.registry import PluginRegistry
from retaild.runtime import logs
from retaild.runtime.component import process_name
from retaild.runtime.instances import Held, InstanceStore
from retaild.runtime.services.pipeline import Pipeline
from retaild.runtime.services.software import is_installed
from retaild.runtime.state import State

#: Log lines that are shown of a service that is down.
LINES = 20


@dataclass(frozen=True)
class Services:
    """Reads the configuration, the installed plugins and the state; changes nothing."""

    settings: Settings
    data: DataDir
    plugins: PluginRegistry
    state: State | None = None

    @property
    def software_dir(self) -> Path:
        return self.settings.software_dir(self.data.software)

    def specs(self) -> dict[str, ServiceSpec]:
        """Plugin name -> Spec. Of strangers' services the software is not known here."""
        found = self.plugins.specs("service")
        return {name: spec for name, spec in found.items() if isinstance(spec, ServiceSpec)}

    def software(self) -> dict[str, tuple[Software, ...]]:
        """Plugin name -> what its parts of all kinds need on the disk; strangers' are not known."""
        found: dict[str, dict[str, Software]] = {}
        for (_, name), item in sorted(self.plugins.registered.items()):
            if isinstance(item.spec, Spec) and item.spec.software:
                found.setdefault(name, {}).update({one.name: one for one in item.spec.software})
        return {name: tuple(software.values()) for name, software in found.items()}

    def needed(self) -> dict[str, tuple[Software, ...]]:
        """The same for those that the configuration uses, whichever kind."""
        used: dict[str, dict[str, Software]] = {}
        for kind, _, instance in self.settings.instances():
            item = self.plugins.registered.get((kind, instance.plugin))
            if item is not None and isinstance(item.spec, Spec) and item.spec.software:
                own = {one.name: one for one in item.spec.software}
                used.setdefault(instance.plugin, {}).update(own)
        return {name: tuple(software.values()) for name, software in used.items()}

    def _shelves(self, plugin: str) -> list[dict[str, Any]]:
        return [
            {
                "name": software.name,
                "version": software.version,
                "disk_mib": software.disk_mib,
                "installed": is_installed(software, self.software_dir),
            }
            for software in self.software().get(plugin, ())
        ]

    def rows(self) -> list[dict[str, Any]]:
        """One for each configured service, in the order of their names."""
        workers = {row["name"]: row for row in self.state.workers()} if self.state else {}
        held = InstanceStore(self.state).all() if self.state else {}
        return [
            self._row(name, workers.get(process, {}), held.get(process, Held()).standing)
            for name in sorted(self.settings.service)
            if (process := process_name("service", name))
        ]

    def _row(self, name: str, worker: dict[str, Any], standing: str) -> dict[str, Any]:
        plugin = self.settings.service[name].plugin
        spec = self.specs().get(plugin)
        stored = worker.get("figures") or {}
        figures = dict(json.loads(stored) if isinstance(stored, str) else stored)
        state = worker.get("state") or "stopped"
        row = {
            "name": name,
            "plugin": plugin,
            "summary": spec.summary if spec else "",
            "state": state,
            "standing": standing,
            "pid": worker.get("pid"),
            "since": worker.get("since"),
            "restarts": worker.get("restarts") or 0,
            "last_error": worker.get("last_error"),
            "memory": figures.pop("memory", None),
            "listens": figures.pop("listens", ""),
            "figures": figures,
            "memory_mib": spec.memory_mib if spec else None,
            "software": self._shelves(plugin),
        }
        down = standing == "quarantined" or state not in ("running", "stopped")
        log = self.data.worker_log(process_name("service", name))
        return {**row, "lines": logs.tail(log, LINES) if down else []}

    def parts(self) -> list[dict[str, Any]]:
        """The pipeline as it runs: see `Pipeline.parts`."""
        return Pipeline(self.settings, self.state).parts()

    def available(self) -> list[dict[str, Any]]:
        """Every service plugin, and others with software: what it is, whether that is here."""
        used = {instance.plugin for instance in self.settings.service.values()} | set(self.needed())
        services = self.specs()
        rows = []
        for name in sorted({*services, *self.software()}):
            service = services.get(name)
            rows.append(
                {
                    "plugin": name,
                    "summary": service.summary if service else self._summary(name),
                    "memory_mib": service.memory_mib if service else None,
                    "configured": name in used,
                    "software": self._shelves(name),
                }
            )
        return rows

    def _summary(self, plugin: str) -> str:
        """Of an engine that runs in retaild's own processes."""
        found = (item.spec for (_, name), item in self.plugins.registered.items() if name == plugin)
        return next(
            (spec.summary for spec in found if isinstance(spec, Spec) and spec.software), ""
        )
