"""The plugins that are installed: their Specs by kind and name, and building from them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from retaild.api.base import BuildContext, Config, Spec
from retaild.config.explain import suggestion
from retaild.config.paths import DataDir
from retaild.config.references import resolve
from retaild.config.sections import PluginInstance
from retaild.config.settings import Settings
from retaild.host.catalog import Inspected, catalog
from retaild.host.discovery import OWN, Found, own_entries
from retaild.host.environments import Launch, launch_in
from retaild.host.errors import InvalidPluginConfigError, UnknownPluginError
from retaild.host.facts import Facts
from retaild.host.gather import HOOKS, KINDS, load_specs
from retaild.host.installed import plugins_dir, provided, read_installed

__all__ = ["HOOKS", "KINDS", "OWN", "PluginFault", "PluginRegistry", "Registered", "build_context"]

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


_HOST = Launch()


@dataclass(frozen=True, slots=True)
class Registered:
    """A plugin with its origin. Of a stranger's, what is known without importing it."""

    kind: str
    spec: Spec | Facts
    #: Name of the entry point, and the distribution with its version.
    entry: str
    distribution: str
    distribution_version: str
    module: str
    launch: Launch = _HOST


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stranger's Spec can be imported from."""

    distribution: str
    entry: str
    module: str
    launch: Launch

    def load(self, kind: str, name: str) -> Spec:
        """Raises UnknownPluginError with the reason why it cannot be imported (any more)."""
        if self.launch.python is not None and Path(sys.prefix) != self.launch.python.parents[1]:
            why = "It has a Python environment of its own and works only in its own process."
            raise UnknownPluginError(kind, name, f"{self}: {why}")
        # Behind the host's own packages: what they bring is theirs in this process.
        sys.path += [entry for entry in self.launch.path if entry not in sys.path]
        reasons: list[str] = []
        for found, spec in load_specs(partial(import_module, self.module), reasons.append):
            if (found, spec.name) == (kind, name):
                return spec
        raise UnknownPluginError(kind, name, f"{self}: {' '.join(reasons) or 'it is gone.'}")

    def __str__(self) -> str:
        return f"Plugin {self.entry!r} of {self.distribution}"


@dataclass
class PluginRegistry:
    """Every usable plugin. A broken one is in `faults` and never hides another.

    Strangers' plugins are known by their `Facts`; `spec` alone imports one, for the process that
    builds it. The host's own plugins are imported when they are first asked for.
    """

    _registered: dict[tuple[str, str], Registered] = field(default_factory=dict)
    _faults: list[PluginFault] = field(default_factory=list)
    #: Finds out about strangers; None: everything is known.
    _unread: Callable[[], Iterable[Inspected]] | None = None
    _disputed: set[tuple[str, str]] = field(default_factory=set)
    _built: dict[tuple[str, str], Spec] = field(default_factory=dict)
    _data: DataDir | None = None

    @classmethod
    def load(cls, data: DataDir | None = None) -> Self:
        """What is installed beside the host, and in `data` by `retaildctl plugin install`."""
        return cls(_unread=partial(catalog, data), _data=data)

    @property
    def registered(self) -> dict[tuple[str, str], Registered]:
        self._read()
        return self._registered

    @property
    def faults(self) -> list[PluginFault]:
        self._read()
        return self._faults

    def _read(self) -> None:
        if self._unread is None:
            return
        find_out, self._unread = self._unread, None
        for found in own_entries():
            self._take_own(found)
        for inspected in find_out():
            self._take(inspected)

    def _take_own(self, found: Found) -> None:
        complain = partial(self._fault, found.entry.name, found.distribution)
        for kind, spec in load_specs(found.entry.load, complain):
            self._registered[kind, spec.name] = Registered(
                kind, spec, found.entry.name, found.distribution, found.version, found.entry.value
            )

    def _take(self, inspected: Inspected) -> None:
        origin = inspected.origin
        for entry, message in inspected.faults:
            self._fault(entry, origin.distribution, message)
        for one in inspected.plugins:
            self._register(
                Registered(one.kind, one.facts, one.entry, origin.distribution, origin.version,
                           one.module, origin.launch)
            )  # fmt: skip

    def _register(self, new: Registered) -> None:
        key = (new.kind, new.spec.name)
        other = self._registered.get(key)
        if other is not None and other.distribution == OWN:
            message = f"{new.kind} {new.spec.name!r} is the name of a plugin of retaild's own."
            self._fault(new.entry, new.distribution, message)
        elif other is not None:
            # Which one came first is chance: neither is trusted with the name.
            places = f"{other.distribution} and {new.distribution}"
            message = f"{new.kind} {new.spec.name!r} is registered twice, by {places}."
            self._fault(new.entry, new.distribution, message)
            del self._registered[key]
            self._disputed.add(key)
        elif key not in self._disputed:
            self._registered[key] = new

    def _fault(self, name: str, distribution: str, message: str) -> None:
        self._faults.append(PluginFault(name, distribution, message))

    def specs(self, kind: str) -> dict[str, Spec | Facts]:
        """Name -> Spec (ours) or Facts (a stranger's) of one kind, sorted. Imports no stranger."""
        return {name: item.spec for (k, name), item in sorted(self.registered.items()) if k == kind}

    def facts(self, kind: str, name: str) -> Any:
        """The fields of a Spec, but for `config` and `build`. Imports no stranger.

        Raises UnknownPluginError, which says what is close or why it is missing.
        """
        return self.find(kind, name).spec

    def find(self, kind: str, name: str) -> Registered:
        """Raises UnknownPluginError."""
        self._take_own_quickly(kind, name)
        found = self._registered.get((kind, name)) or self.registered.get((kind, name))
        if found is None:
            raise UnknownPluginError(kind, name, self.why_missing(kind, name))
        return found

    def _take_own_quickly(self, kind: str, name: str) -> None:
        """Our entry points are called kind-name: others need not be imported for this one."""
        if self._unread is None or (kind, name) in self._registered:
            return
        for found in own_entries():
            if found.entry.name == f"{kind}-{name}":
                self._take_own(found)

    def spec(self, kind: str, name: str) -> Any:
        """The Spec, imported into this process. Raises UnknownPluginError."""
        key = (kind, name)
        if key not in self._built:
            self._take_own_quickly(kind, name)
            place = self._installed_place(kind, name) or self._place(self.find(kind, name))
            self._built[key] = place if isinstance(place, Spec) else place.load(kind, name)
        return self._built[key]

    def _installed_place(self, kind: str, name: str) -> Place | None:
        """Where `plugin install` put it: a component's process needs to know no more than that."""
        if self._data is None or (kind, name) in self._registered:
            return None
        for item, one in provided(read_installed(self._data)):
            if (one.kind, one.name) == (kind, name):
                launch = launch_in(plugins_dir(self._data) / item.current.directory, item.current)
                return Place(item.distribution, one.entry, one.module, launch)
        return None

    def _place(self, found: Registered) -> Place | Spec:
        if isinstance(found.spec, Spec):
            return found.spec
        return Place(found.distribution, found.entry, found.module, found.launch)

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
        services_dir=data.state_dir("service", instance).parent,
        software_dir=settings.software_dir(data.software),
        threads=len(os.sched_getaffinity(0)) if kind in _PARALLEL else 1,
    )
