"""The plugins that are installed: their Specs by kind and name, and building from them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Self

import pluggy
from pydantic import ValidationError

from retaild.api import hookspecs
from retaild.api.base import API_VERSION, BuildContext, Config, Spec
from retaild.config.explain import suggestion
from retaild.config.paths import DataDir
from retaild.config.references import resolve
from retaild.config.sections import PluginInstance
from retaild.config.settings import Settings
from retaild.host.discovery import Found, find
from retaild.host.errors import InvalidPluginConfigError, UnknownPluginError

#: Kind -> the hook that registers its Specs.
HOOKS = {
    "source": "retaild_sources",
    "bus": "retaild_buses",
    "stream": "retaild_stream_processors",
    "batch": "retaild_batch_engines",
    "features": "retaild_feature_backends",
    "trainer": "retaild_trainers",
    "gate": "retaild_gates",
    "alert": "retaild_alert_sinks",
    "identity": "retaild_identity_providers",
}
KINDS = tuple(HOOKS)

#: Kinds that may keep several cores busy; the others work on one.
_PARALLEL = frozenset({"batch", "features", "trainer"})


@dataclass(frozen=True, slots=True)
class PluginFault:
    """A plugin that cannot be used, and why, in a sentence."""

    name: str
    distribution: str
    message: str

    def __str__(self) -> str:
        return f"Plugin {self.name!r} of {self.distribution}: {self.message}"


@dataclass(frozen=True, slots=True)
class Registered:
    """A Spec with its origin."""

    kind: str
    spec: Spec
    #: Name of the entry point, and the distribution with its version.
    entry: str
    distribution: str
    distribution_version: str
    module: str


@dataclass
class PluginRegistry:
    """Every usable Spec. A broken plugin is in `faults` and never hides another."""

    registered: dict[tuple[str, str], Registered] = field(default_factory=dict)
    faults: list[PluginFault] = field(default_factory=list)
    _disputed: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def load(cls) -> Self:
        """Import the plugin modules that are installed, and gather their Specs."""
        registry = cls()
        for found in find():
            try:
                module = found.entry.load()
            except Exception as error:  # a plugin's import may fail in any way
                registry._fault(found, f"it cannot be imported: {_said(error)}.")
            else:
                registry.add(module, found)
        return registry

    def add(self, module: ModuleType, found: Found) -> None:
        """Register one plugin module's Specs; what is wrong with it goes to `faults`."""
        manager = pluggy.PluginManager("retaild")
        manager.add_hookspecs(hookspecs)
        try:
            manager.register(module)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            self._fault(found, f"it does not fit this version of retaild: {_said(error)}.")
            return
        hooks = [(kind, getattr(manager.hook, name)) for kind, name in HOOKS.items()]
        if not any(hook.get_hookimpls() for _, hook in hooks):
            self._fault(found, "it registers nothing (no function is marked with @hookimpl).")
        for kind, hook in hooks:
            for implementation in hook.get_hookimpls():
                self._gather(kind, implementation.function, found)

    def _gather(self, kind: str, function: Any, found: Found) -> None:
        try:
            specs = list(function())
        except Exception as error:  # a plugin's hook may fail in any way
            self._fault(found, f"its hook {HOOKS[kind]} failed: {_said(error)}.")
            return
        for spec in specs:
            self._register(kind, spec, found)

    def _register(self, kind: str, spec: Spec, found: Found) -> None:
        other = self.registered.get((kind, spec.name))
        if spec.api_version != API_VERSION:
            written = f"it is written for plugin interface {spec.api_version}"
            self._fault(found, f"{written}, but this retaild has {API_VERSION}.")
        elif other is not None:
            # Which one came first is chance: neither is trusted with the name.
            places = f"{other.distribution} and {found.distribution}"
            self._fault(found, f"{kind} {spec.name!r} is registered twice, by {places}.")
            del self.registered[kind, spec.name]
            self._disputed.add((kind, spec.name))
        elif (kind, spec.name) not in self._disputed:
            self.registered[kind, spec.name] = Registered(
                kind, spec, found.entry.name, found.distribution, found.version, found.entry.value
            )

    def _fault(self, found: Found, message: str) -> None:
        self.faults.append(PluginFault(found.entry.name, found.distribution, message))

    def specs(self, kind: str) -> dict[str, Spec]:
        """Name -> Spec of one kind, sorted."""
        return {name: item.spec for (k, name), item in sorted(self.registered.items()) if k == kind}

    def spec(self, kind: str, name: str) -> Any:
        """Raises UnknownPluginError, which says what is close or why it is missing."""
        try:
            return self.registered[kind, name].spec
        except KeyError:
            raise UnknownPluginError(kind, name, self.why_missing(kind, name)) from None

    def why_missing(self, kind: str, name: str) -> str:
        broken = [
            str(fault) for fault in self.faults if name in fault.name or name in fault.message
        ]
        return " ".join(broken) or suggestion(name, self.specs(kind))

    def config(
        self, kind: str, instance: str, plugin: PluginInstance, settings: Settings
    ) -> Config:
        """The plugin's validated configuration. Raises ConfigError."""
        spec = self.spec(kind, plugin.plugin)
        values = resolve(spec.config, plugin.settings, settings.base_dir)
        try:
            config: Config = spec.config.model_validate(values)
        except ValidationError as error:
            reasons = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}." for e in error.errors()]
            raise InvalidPluginConfigError(kind, instance, reasons) from None
        return config

    def build(
        self, kind: str, instance: str, plugin: PluginInstance, settings: Settings, data: DataDir
    ) -> Any:
        """The component, not opened yet. Raises ConfigError."""
        config = self.config(kind, instance, plugin, settings)
        context = build_context(kind, instance, settings, data)
        return self.spec(kind, plugin.plugin).build(config, context)


def build_context(kind: str, instance: str, settings: Settings, data: DataDir) -> BuildContext:
    return BuildContext(
        instance=instance,
        state_dir=data.state_dir(kind, instance),
        lake_dir=data.lake,
        timezone=settings.retaild.timezone,
        currency=settings.retaild.currency,
        store=settings.retaild.store,
        threads=len(os.sched_getaffinity(0)) if kind in _PARALLEL else 1,
    )


def _said(error: BaseException) -> str:
    """The error in a line: its type where the text alone says too little."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, ImportError) and text else f"{type(error).__name__}: {text}"
