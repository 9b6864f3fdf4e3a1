"""`retaildctl check`: every fault of a configuration at once, each with file and line."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retaild.api.errors import ConfigError
from retaild.config.documents import Document, KeyPath
from retaild.config.faults import Fault
from retaild.config.locate import locate_data_dir
from retaild.config.paths import DataDir
from retaild.config.sections import PluginInstance
from retaild.config.settings import MANY_PLUGINS, Settings, inspect_settings
from retaild.host.catalog import Described, Inspected
from retaild.host.check_settings import settings_faults
from retaild.host.environments import Launch
from retaild.host.facts import Facts
from retaild.host.inspection import ask
from retaild.host.registry import PluginRegistry, Registered


def check(
    config: Path | None = None,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    listening: bool = False,
) -> list[Fault]:
    """All faults: files, host settings, plugins and their settings, directories, the port.

    `listening` says that this configuration's own daemon runs: then its port is taken by right.
    """
    settings, document, faults = inspect_settings(config, data, environment)
    if settings is None:
        registry = PluginRegistry.load(DataDir(locate_data_dir(config, data)))
        return in_order(faults + _check_raw_plugins(document, registry))
    faults += check_instances(settings, document)
    faults += check_data_dir(settings, document)
    if not listening:
        faults += check_port(settings, document)
    return in_order(faults)


def in_order(faults: Sequence[Fault]) -> list[Fault]:
    """By file and line, as one reads; errors before warnings that stand nowhere."""
    return sorted(faults, key=lambda fault: (not fault.file, fault.file, fault.line))


def check_instances(
    settings: Settings, document: Document | None = None, registry: PluginRegistry | None = None
) -> list[Fault]:
    """Faults of the configured plugins; broken plugins that are not used are warnings."""
    document = document or Document()
    registry = registry or PluginRegistry.load(DataDir(settings.retaild.data_dir))
    configured = [
        Configured(kind, _prefix(kind, name), instance, settings.base_dir)
        for kind, name, instance in settings.instances()
    ]
    faults = check_plugins(configured, document, registry)
    used = " ".join(fault.hint for fault in faults)
    for broken in registry.faults:
        if str(broken) not in used:
            faults.append(Fault("", 0, "", str(broken), _REINSTALL, severity="warning"))
    return faults


_REINSTALL = "Nothing configured uses it. Reinstall or remove its package."


def _prefix(kind: str, name: str) -> KeyPath:
    return (kind, name) if kind in MANY_PLUGINS else (kind,)


def _check_raw_plugins(document: Document, registry: PluginRegistry) -> list[Fault]:
    """Plugins' faults although the host's settings have some too: all at once means all."""
    configured: list[Configured] = []
    for kind, name, table in _raw_instances(document.values):
        try:
            instance = PluginInstance.model_validate({"plugin": name, **table})
        except ValidationError:
            continue  # told already
        configured.append(Configured(kind, _prefix(kind, name), instance, Path.cwd()))
    return check_plugins(configured, document, registry)


def _raw_instances(values: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    defaults = Settings()
    for kind in Settings.model_fields:
        table = values.get(kind)
        if not isinstance(table, dict):
            continue
        if isinstance(getattr(defaults, kind), PluginInstance):
            yield kind, getattr(defaults, kind).plugin, table
        elif kind in MANY_PLUGINS:
            for name, inner in table.items():
                if isinstance(inner, dict) and inner.get("enabled") is not False:
                    yield kind, name, inner


def check_plugin(
    kind: str,
    prefix: KeyPath,
    instance: PluginInstance,
    base: Path,
    document: Document,
    registry: PluginRegistry,
) -> list[Fault]:
    """Faults of one configured plugin, whose table stands at `prefix` of the document."""
    return check_plugins([Configured(kind, prefix, instance, base)], document, registry)


@dataclass(frozen=True, slots=True)
class Configured:
    """One configured plugin, whose table stands at `prefix` of the document."""

    kind: str
    prefix: KeyPath
    instance: PluginInstance
    base: Path


def check_plugins(
    configured: Sequence[Configured], document: Document, registry: PluginRegistry
) -> list[Fault]:
    """Faults of configured plugins. Strangers' settings are validated in other processes."""
    faults: list[Fault] = []
    elsewhere: dict[Launch, list[tuple[Configured, Registered]]] = {}
    for one in configured:
        try:
            found = registry.find(one.kind, one.instance.plugin)
        except ConfigError as error:
            faults.append(document.fault((*one.prefix, "plugin"), error.message, error.hint))
            continue
        if one.kind == "stream":
            path = (*one.prefix, "plugin")
            supported = frozenset(getattr(found.spec, "supports", ()))
            faults += check_steps(one.instance.plugin, supported, path, document)
        if isinstance(found.spec, Facts):
            elsewhere.setdefault(found.launch, []).append((one, found))
        else:
            model, settings = found.spec.config, one.instance.settings
            faults += settings_faults(model, one.prefix, settings, one.base, document)
    for launch, group in elsewhere.items():
        tasks = [_task(one, found, document) for one, found in group]
        for (one, _), answer in zip(group, ask(launch, tasks), strict=True):
            faults += _told(one, answer, document)
    return faults


def refused_settings(
    settings: Settings, used: Sequence[tuple[str, str, PluginInstance]], inspected: Inspected
) -> list[Fault]:
    """What a distribution that is not in use yet would refuse of these configured instances."""
    known = {(one.kind, one.facts.name): one for one in inspected.plugins}
    faults: list[Fault] = []
    for kind, name, instance in used:
        one = Configured(kind, _prefix(kind, name), instance, settings.base_dir)
        document = Document(places=dict.fromkeys(_paths(one.prefix, instance.settings), ("", 0)))
        found = known.get((kind, instance.plugin))
        if found is None:
            message = f"it no longer brings the {kind} plugin {instance.plugin!r}"
            faults.append(document.fault(one.prefix, message))
            continue
        (answer,) = ask(inspected.origin.launch, [_task(one, found, document)])
        faults += [f for f in _told(one, answer, document) if f.severity == "error"]
    return faults


def _paths(prefix: KeyPath, table: Mapping[str, Any]) -> Iterator[KeyPath]:
    """Every key of a table and of those in it: what somebody has written."""
    for key, value in table.items():
        yield (*prefix, key)
        if isinstance(value, Mapping):
            yield from _paths((*prefix, key), value)


def _task(one: Configured, found: Registered | Described, document: Document) -> dict[str, Any]:
    length = len(one.prefix)
    return {
        "task": "check",
        "entries": [(found.entry, found.module)],
        "kind": one.kind,
        "plugin": one.instance.plugin,
        "prefix": one.prefix,
        "settings": dict(one.instance.settings),
        "base": str(one.base),
        "places": {p: at for p, at in document.places.items() if p[:length] == one.prefix},
    }


def _told(one: Configured, answer: dict[str, Any] | str, document: Document) -> list[Fault]:
    path = (*one.prefix, "plugin")
    if isinstance(answer, str):
        message = f"The settings of {'.'.join(one.prefix)} cannot be checked: {answer}."
        return [document.fault(path, message, "Tell the plugin's author, or remove it.")]
    if answer["checked"] is None:
        reasons = " ".join(str(fault["message"]) for fault in answer["faults"])
        message = f"Plugin {one.instance.plugin!r} cannot be used: {reasons or 'it is gone.'}"
        return [document.fault(path, message, "Tell the plugin's author, or remove it.")]
    return [Fault(**told) for told in answer["checked"]]


def check_steps(
    plugin: str, supported: frozenset[str], path: KeyPath, document: Document
) -> list[Fault]:
    """A stream processor must be able to do every step of the pipeline."""
    missing = sorted(required_steps() - supported)
    if not missing:
        return []
    message = f"Stream processor {plugin!r} cannot do the steps {', '.join(missing)}."
    return [document.fault(path, message, "Choose another stream processor.")]


def required_steps() -> frozenset[str]:
    """Names of the step types that the pipeline is made of."""
    from retaild.pipeline.streams import stream_pipelines

    return frozenset().union(*(pipeline.step_names() for pipeline in stream_pipelines().values()))


def check_data_dir(settings: Settings, document: Document | None = None) -> list[Fault]:
    """The data directory, or the nearest directory above it, must be writable."""
    document = document or Document()
    directory = settings.retaild.data_dir
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    path = ("retaild", "data_dir")
    if not existing.is_dir():
        hint = "Name a directory."
        return [document.fault(path, f"The data directory {existing} is a file.", hint)]
    if not os.access(existing, os.W_OK | os.X_OK):
        hint = "Give retaild's user the right to write there, or set retaild.data_dir."
        return [document.fault(path, f"{existing} may not be written to.", hint)]
    return []


def check_port(settings: Settings, document: Document | None = None) -> list[Fault]:
    """The API's port must be free."""
    document = document or Document()
    family, _, _, _, address = _address(settings.api.host, settings.api.port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"Port {settings.api.port} of {settings.api.host} cannot be used: {reason}."
            hint = "Stop what listens there, or set another api.port."
            return [document.fault(("api", "port"), message, hint)]
    return []


def _address(host: str, port: int) -> Any:
    found: Sequence[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return found[0]
