"""All admin calls behind one object, as the REST routes and the pages use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from retaild.api.lake import Lake
from retaild.config.live import LiveSettings
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.live import LivePlugins
from retaild.host.registry import PluginRegistry
from retaild.runtime.access.audit import note
from retaild.runtime.admin import (
    backups,
    dead_letters,
    instances,
    jobs,
    lake,
    logs,
    models,
    overview,
)
from retaild.runtime.backup.service import named
from retaild.runtime.context import Context
from retaild.runtime.services.overview import Services
from retaild.runtime.state import State

if TYPE_CHECKING:
    from retaild.runtime.ingest_replay import ReplayResult


@dataclass(frozen=True)
class Admin:
    """Blocking; raises RetaildError. Times are seconds since the epoch (UTC)."""

    context: Context

    @property
    def settings(self) -> Settings:
        """In force now, also what was reloaded since this process began."""
        return self._live.now()

    @cached_property
    def _live(self) -> LiveSettings:
        return LiveSettings(self.context.data, self.context.settings)

    @property
    def data(self) -> DataDir:
        return self.context.data

    @property
    def state(self) -> State:
        return self.context.state

    @property
    def registry(self) -> PluginRegistry:
        """What is installed now, also what was installed since this process began."""
        return self._plugins.now()

    @cached_property
    def _plugins(self) -> LivePlugins:
        return LivePlugins(self.context.data, self.context.plugins)

    @property
    def _lake(self) -> Lake:
        return Lake(self.data.lake)

    def workers(self) -> list[dict[str, Any]]:
        return overview.workers(self.state)

    def notices(self) -> list[dict[str, Any]]:
        return overview.notices(self.workers(), self.state, self.registry)

    def plugins(self) -> list[dict[str, Any]]:
        return overview.plugins(self.registry, self.settings)

    def sources(self) -> list[dict[str, Any]]:
        return overview.sources(self.state, self.settings)

    def instances(self) -> list[dict[str, Any]]:
        return instances.instances(self.data, self.settings, self.state)

    def change_instance(
        self, action: str, kind: str, name: str, reason: str = ""
    ) -> dict[str, Any]:
        """`action`: resume, enable, disable, quarantine, restart."""
        if action == "restart":
            return instances.restart(self.data, self.state, kind, name)
        return instances.hold_or_free(self.data, action, kind, name, reason)

    def services(self) -> dict[str, Any]:
        """Managed servers with their figures, and the pipeline's parts: see `Services`."""
        found = Services(self.settings, self.data, self.registry, self.state)
        return {"services": found.rows(), "parts": found.parts()}

    def backups(self) -> dict[str, Any]:
        return backups.backups(self.settings, self.state)

    def verify_backup(self, name: str) -> int:
        """The run's id. Raises NoDestinationError, UnknownBackupError."""
        named(self.settings, name)
        return self.run_job("verify-backup", {"backup": name})

    def jobs(self) -> list[dict[str, Any]]:
        return jobs.jobs(self.data, self.settings, self.state)

    def run_job(self, name: str, arguments: dict[str, str] | None = None) -> int:
        run_id = jobs.run_job(self.data, name, arguments or {})
        note(name, after={"run": run_id, **(arguments or {})})
        return run_id

    def runs(self, job: str = "", limit: int = 50) -> list[dict[str, Any]]:
        return self.state.runs(job=job, limit=limit)

    def run(self, run_id: int) -> dict[str, Any]:
        return jobs.run(self.state, run_id)

    def run_log(self, run_id: int, lines: int = 200) -> list[str]:
        return jobs.run_log(self.data, self.state, run_id, lines)

    def models(self) -> list[dict[str, Any]]:
        return models.models(self.data, self.settings, self.registry, self.state)

    def promote(self, trainer: str, version: int, reason: str = "Chosen by a person.") -> int:
        return models.promote(self.data, trainer, version, reason)

    def rollback(self, trainer: str, reason: str = "Chosen by a person.") -> int:
        return models.rollback(self.data, trainer, reason)

    def dead_letters(
        self, *, source: str = "", reason: str = "", limit: int = 50, offset: int = 0
    ) -> dict[str, Any]:
        return dead_letters.dead_letters(
            self._lake, self.state, source=source, reason=reason, limit=limit, offset=offset
        )

    def dead_letter(self, event_id: str) -> dict[str, Any]:
        return dead_letters.dead_letter(self._lake, self.state, event_id)

    def replay(self, event_ids: Sequence[str] | None = None) -> ReplayResult:
        """Read refused bytes again (all that were not accepted yet, if none are named)."""
        from retaild.runtime.ingest_replay import replay_dead_letters

        result = replay_dead_letters(self.context, event_ids)
        note(
            "all" if event_ids is None else ", ".join(event_ids)[:500],
            before={"waiting": result.accepted + result.refused},
            after={"accepted": result.accepted, "refused": result.refused},
        )
        return result

    def quality(self) -> list[dict[str, Any]]:
        return [
            {
                "at": row["at"],
                "table": row["table_name"],
                "check": row["check_name"],
                "passed": bool(row["passed"]),
                "value": row["value"],
                "detail": row["detail"],
            }
            for row in self.state.quality()
        ]

    def lake_tables(self) -> list[dict[str, Any]]:
        return lake.tables(self._lake)

    def logs(self, name: str, level: str = "", lines: int = 200) -> dict[str, Any]:
        return logs.read(self.data, name, level=level, lines=lines)
