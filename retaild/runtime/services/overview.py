"""What there is to tell of managed services: installed, configured, running, with figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retaild.api.service import ServiceSpec, Software
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.registry import PluginRegistry
from retaild.runtime import logs
from retaild.runtime.component import process_name
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

    def software(self, plugin: str) -> list[dict[str, Any]]:
        spec = self.specs().get(plugin)
        return [self._shelf(one) for one in spec.software] if spec else []

    def _shelf(self, software: Software) -> dict[str, Any]:
        return {
            "name": software.name,
            "version": software.version,
            "disk_mib": software.disk_mib,
            "installed": is_installed(software, self.software_dir),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One for each configured service, in the order of their names."""
        workers = {row["name"]: row for row in self.state.workers()} if self.state else {}
        return [
            self._row(name, workers.get(process_name("service", name), {}))
            for name in sorted(self.settings.service)
        ]

    def _row(self, name: str, worker: dict[str, Any]) -> dict[str, Any]:
        plugin = self.settings.service[name].plugin
        spec = self.specs().get(plugin)
        figures = worker.get("figures") or {}
        state = worker.get("state") or "stopped"
        row = {
            "name": name,
            "plugin": plugin,
            "summary": spec.summary if spec else "",
            "state": state,
            "pid": worker.get("pid"),
            "since": worker.get("since"),
            "restarts": worker.get("restarts") or 0,
            "last_error": worker.get("last_error"),
            "figures": json.loads(figures) if isinstance(figures, str) else figures,
            "memory_mib": spec.memory_mib if spec else None,
            "software": self.software(plugin),
        }
        down = state not in ("running", "stopped")
        log = self.data.worker_log(process_name("service", name))
        return {**row, "lines": logs.tail(log, LINES) if down else []}

    def available(self) -> list[dict[str, Any]]:
        """Every service plugin: what it is, and whether its software is here."""
        used = {instance.plugin for instance in self.settings.service.values()}
        return [
            {
                "plugin": name,
                "summary": spec.summary,
                "memory_mib": spec.memory_mib,
                "configured": name in used,
                "software": self.software(name),
            }
            for name, spec in self.specs().items()
        ]
