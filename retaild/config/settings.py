"""All settings of a running retaild, as one frozen object."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from retaild.config.active import is_active, read_active_document
from retaild.config.documents import Document, read_documents
from retaild.config.explain import explain
from retaild.config.faults import ConfigFaultsError, Fault
from retaild.config.locate import base_dir, default_data_dir, locate_config
from retaild.config.sections import (
    AccessSection,
    AlertsSection,
    ApiSection,
    BackupSection,
    JobSection,
    LakeSection,
    PluginInstance,
    RecommendationsSection,
    RetaildSection,
    Section,
)

#: Sections that hold one plugin, and the plugin when nothing is configured.
ONE_PLUGIN = {
    "bus": "embedded",
    "stream": "embedded",
    "batch": "duckdb",
    "features": "feast",
    "identity": "local",
}
#: Sections that hold named plugins, and those that are there when nothing is configured.
MANY_PLUGINS: dict[str, tuple[str, ...]] = {
    "source": (),
    "trainer": ("recommender", "price"),
    "gate": ("quality",),
    "alert": (),
    "service": (),
    "target": (),
}
#: What runs when, unless configured otherwise; `docs` of etc/retaild.toml say why.
DEFAULT_JOBS: dict[str, dict[str, Any]] = {
    "refresh": {"cron": "30 3 * * *"},
    "materialize": {"every_seconds": 600},
    "quality": {"every_seconds": 1800},
    "compact": {"every_seconds": 3600},
    "trim": {"every_seconds": 3600},
}
#: Is scheduled too as soon as backups have a directory.
BACKUP_JOB: dict[str, dict[str, Any]] = {"backup": {"cron": "30 2 * * *"}}


def _plugin(name: str) -> Any:
    return Field(
        default_factory=lambda: PluginInstance(plugin=name), description=f"Default: {name}."
    )


class Settings(Section):
    """The whole configuration. Built by `load_settings`; paths in it are absolute."""

    retaild: RetaildSection = RetaildSection()
    api: ApiSection = ApiSection()
    access: AccessSection = AccessSection()
    lake: LakeSection = LakeSection()
    backup: BackupSection = BackupSection()
    recommendations: RecommendationsSection = RecommendationsSection()
    alerts: AlertsSection = AlertsSection()
    bus: PluginInstance = _plugin("embedded")
    stream: PluginInstance = _plugin("embedded")
    batch: PluginInstance = _plugin("duckdb")
    features: PluginInstance = _plugin("feast")
    identity: PluginInstance = _plugin("local")
    source: dict[str, PluginInstance] = Field(default={}, description="Where events come from.")
    trainer: dict[str, PluginInstance] = Field(default={}, description="What is learned.")
    gate: dict[str, PluginInstance] = Field(default={}, description="Judges of new models.")
    alert: dict[str, PluginInstance] = Field(default={}, description="Who is told of alerts.")
    service: dict[str, PluginInstance] = Field(
        default={}, description="Servers that retaild starts and watches."
    )
    target: dict[str, PluginInstance] = Field(
        default={}, description="Where answers that were computed ahead are published."
    )
    job: dict[str, JobSection] = Field(default={}, description="What runs when.")
    demo: dict[str, Any] = Field(
        default={}, description="Assumptions of `retaildctl demo`, free in form."
    )

    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @property
    def base_dir(self) -> Path:
        """Where relative paths of the configuration start."""
        return self._base

    def software_dir(self, default: Path) -> Path:
        """Where fetched servers and engines lie: as configured, else `default`."""
        stated = self.retaild.software_dir
        return self._base / stated if stated else default

    @property
    def access_required(self) -> bool:
        """Whether everybody who asks the server has to say who he is."""
        return self.access.required == "always" or self.api.reachable

    @property
    def tls_files(self) -> tuple[Path, Path] | None:
        """Certificate and key of the server's own TLS; None: it speaks none."""
        if self.api.tls == "proxy" or not self.api.tls_certificate:
            return None
        return self._base / self.api.tls_certificate, self._base / self.api.tls_key

    def now(self) -> float:
        """Seconds since the epoch (UTC) by the shop's clock: what 'today' means to the business.

        Heartbeats, log entries and runs go by the machine's clock.
        """
        return time.time() + self.retaild.clock_offset_seconds

    @model_validator(mode="before")
    @classmethod
    def _fill_names(cls, values: Any) -> Any:
        """Put in the default instances, and an instance's own name where none is stated."""
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        for kind, plugin in ONE_PLUGIN.items():
            if isinstance(filled.get(kind), Mapping):
                filled[kind] = {"plugin": plugin, **filled[kind]}
        for kind, names in MANY_PLUGINS.items():
            filled[kind] = _named(filled.get(kind, {}), "plugin", {name: {} for name in names})
        backup = filled.get("backup")
        kept = BACKUP_JOB if isinstance(backup, Mapping) and backup.get("directory") else {}
        filled["job"] = _named(filled.get("job", {}), "kind", {**DEFAULT_JOBS, **kept})
        return filled

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Settings:
        if unknown := sorted(set(self.alerts.route) - set(self.alert)):
            raise ValueError(
                f"alerts.route names {unknown[0]!r}, but there is no sink [alert.{unknown[0]}]"
            )
        return self

    @model_validator(mode="after")
    def _publishes_by_a_trainer(self) -> Settings:
        name = self.recommendations.published_by
        found = self.trainer.get(name)
        if name and (found is None or not found.enabled):
            raise ValueError(
                f"recommendations.published_by names {name!r}, but there is no trainer "
                f"[trainer.{name}]"
            )
        return self

    @model_validator(mode="after")
    def _drop_disabled(self) -> Settings:
        for kind in MANY_PLUGINS:
            instances: dict[str, PluginInstance] = getattr(self, kind)
            for name in [name for name, instance in instances.items() if not instance.enabled]:
                del instances[name]
        return self

    def instances(self) -> list[tuple[str, str, PluginInstance]]:
        """(kind, instance name, instance) of every configured plugin."""
        one = [(kind, kind, getattr(self, kind)) for kind in ONE_PLUGIN]
        many = [
            (kind, name, instance)
            for kind in MANY_PLUGINS
            for name, instance in getattr(self, kind).items()
        ]
        return one + many


def _named(given: Any, key: str, defaults: Mapping[str, Mapping[str, Any]]) -> Any:
    if not isinstance(given, Mapping):
        return given
    named: dict[str, Any] = {name: {key: name, **more} for name, more in defaults.items()}
    for name, values in given.items():
        if isinstance(values, Mapping):
            named[name] = {key: name, **_default_unless_stated(defaults.get(name, {}), values)}
        else:
            named[name] = values
    return named


def _default_unless_stated(
    default: Mapping[str, Any], values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A stated schedule replaces the default one; it is never laid over it."""
    scheduled = not {"cron", "every_seconds"}.isdisjoint(values)
    return dict(values) if scheduled else {**default, **values}


def load_settings(
    config: Path | None = None,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read and validate the configuration; `data` wins over its `data_dir`.

    Raises ConfigFaultsError with every fault. Plugins' own settings are not looked at: see
    `retaild.host.check`.
    """
    settings, _, faults = inspect_settings(config, data, environment)
    if settings is None:
        raise ConfigFaultsError(faults)
    return settings


def inspect_settings(
    config: Path | None = None,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[Settings | None, Document, list[Fault]]:
    """As `load_settings`, but returns faults: the settings are None if there is any."""
    main = locate_config(config)
    base = base_dir(main)
    if main is not None and is_active(main):  # the environment is in it already
        document, base = read_active_document(main)
    else:
        document = read_documents(main, os.environ if environment is None else environment)
    faults = list(document.faults)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(document.values)
    except ValidationError as error:
        faults += explain(error, Settings, document)
    if settings is None or faults:
        return None, document, faults
    return _placed(settings, main, base, data), document, faults


def _placed(settings: Settings, main: Path | None, base: Path, data: Path | None) -> Settings:
    stated = "data_dir" in settings.retaild.model_fields_set
    directory = base / settings.retaild.data_dir if stated else default_data_dir(main)
    section = settings.retaild.model_copy(
        update={"data_dir": (data.absolute() if data is not None else directory)}
    )
    placed = settings.model_copy(update={"retaild": section})
    placed._base = base
    return placed
