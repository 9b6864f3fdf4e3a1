"""Model versions as the admin panel shows them. Deciding on them is a job: it needs MLflow."""

from __future__ import annotations

from typing import Any

from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.events.cards import mask
from retaild.host.registry import PluginRegistry
from retaild.runtime import registry
from retaild.runtime.access.audit import note
from retaild.runtime.admin import jobs
from retaild.runtime.admin.errors import UnknownModelError
from retaild.runtime.state import State


def models(
    data: DataDir, settings: Settings, plugins: PluginRegistry, state: State
) -> list[dict[str, Any]]:
    """Configured trainers and those that have versions."""
    names = [*settings.trainer, *(n for n in registry.trainers(data) if n not in settings.trainer)]
    return [_model(data, settings, plugins, state, name) for name in names]


def _model(
    data: DataDir, settings: Settings, plugins: PluginRegistry, state: State, name: str
) -> dict[str, Any]:
    versions = registry.versions(data, name)
    champion = next((v for v in versions if v.is_champion), None)
    shown = champion or (versions[0] if versions else None)
    return {
        "name": name,
        "produces": _produces(settings, plugins, name),
        "primary_metric": shown.primary_metric if shown else "",
        "greater_is_better": shown.greater_is_better if shown else True,
        "versions": [_version(v) for v in versions],
        "baselines": shown.baselines if shown else {},
        "events": state.model_events(name),
    }


def _version(version: registry.ModelVersion) -> dict[str, Any]:
    role = "champion" if version.is_champion else ""
    if not role and registry.CHALLENGER in version.aliases:
        role = "challenger"
    return {
        "version": version.version,
        "role": role,
        "created": version.created,
        "run_id": version.run_id,
        "split": version.split,
        "metrics": version.metrics,
        "parameters": version.parameters,
        "data_versions": version.data_versions,
        "plugin": version.plugin,
        "plugin_version": version.plugin_version,
        "outcome": version.outcome,
    }


def _produces(settings: Settings, plugins: PluginRegistry, name: str) -> str:
    instance = settings.trainer.get(name)
    spec = plugins.specs("trainer").get(instance.plugin) if instance else None
    return str(getattr(spec, "produces", ""))


def promote(data: DataDir, trainer: str, version: int, reason: str) -> int:
    """Ask for a version to become champion; the run's id. Raises UnknownVersionError."""
    registry.version(data, trainer, version)
    arguments = {"trainer": trainer, "version": str(version), "reason": mask(reason)}
    run_id = jobs.run_job(data, "promote", arguments)
    note(trainer, before=_champion(data, trainer), after={**arguments, "run": run_id})
    return run_id


def rollback(data: DataDir, trainer: str, reason: str) -> int:
    """Ask for the champion before the present one; the run's id."""
    if trainer not in registry.trainers(data):
        raise UnknownModelError(trainer)
    reason = mask(reason)
    run_id = jobs.run_job(data, "rollback", {"trainer": trainer, "reason": reason})
    note(trainer, before=_champion(data, trainer), after={"reason": reason, "run": run_id})
    return run_id


def _champion(data: DataDir, trainer: str) -> dict[str, Any]:
    found = registry.champion(data, trainer)
    return {"champion": found.version if found else None}
