"""`retaildctl check`: every fault of a configuration at once, each with file and line."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from retaild.api.errors import ConfigError
from retaild.config.documents import Document, KeyPath
from retaild.config.explain import explain, plain_type
from retaild.config.faults import Fault
from retaild.config.references import resolve
from retaild.config.sections import PluginInstance
from retaild.config.settings import MANY_PLUGINS, Settings, inspect_settings
from retaild.host.registry import PluginRegistry


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
        return in_order(faults + _check_raw_plugins(document))
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
    registry = registry or PluginRegistry.load()
    faults: list[Fault] = []
    for kind, name, instance in settings.instances():
        prefix = (kind, name) if kind in MANY_PLUGINS else (kind,)
        faults += check_plugin(kind, prefix, instance, settings.base_dir, document, registry)
    used = " ".join(fault.hint for fault in faults)
    for broken in registry.faults:
        if str(broken) not in used:
            faults.append(Fault("", 0, "", str(broken), _REINSTALL, severity="warning"))
    return faults


_REINSTALL = "Nothing configured uses it. Reinstall or remove its package."


def _check_raw_plugins(document: Document) -> list[Fault]:
    """Plugins' faults although the host's settings have some too: all at once means all."""
    registry = PluginRegistry.load()
    faults: list[Fault] = []
    for kind, name, table in _raw_instances(document.values):
        try:
            instance = PluginInstance.model_validate({"plugin": name, **table})
        except ValidationError:
            continue  # told already
        prefix = (kind, name) if kind in MANY_PLUGINS else (kind,)
        faults += check_plugin(kind, prefix, instance, Path.cwd(), document, registry)
    return faults


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
    try:
        spec = registry.spec(kind, instance.plugin)
    except ConfigError as error:
        return [document.fault((*prefix, "plugin"), error.message, error.hint)]
    model: type[BaseModel] = spec.config
    values, faults = _resolve_each(model, instance.settings, base, prefix, document)
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        told = {fault.path for fault in faults}
        faults += [f for f in explain(error, model, document, prefix) if f.path not in told]
    else:
        faults += _check_paths(config, prefix, document)
    if kind == "stream":
        faults += check_steps(instance.plugin, spec.supports, (*prefix, "plugin"), document)
    return faults


def _resolve_each(
    model: type[BaseModel],
    values: Mapping[str, Any],
    base: Path,
    prefix: KeyPath,
    document: Document,
) -> tuple[dict[str, Any], list[Fault]]:
    """References resolved one by one, so that one bad secret does not hide another."""
    resolved: dict[str, Any] = {}
    faults: list[Fault] = []
    for key, value in values.items():
        try:
            resolved |= resolve(model, {key: value}, base)
        except ConfigError as error:
            faults.append(document.fault((*prefix, key), error.message, error.hint))
    return resolved, faults


def _check_paths(config: BaseModel, prefix: KeyPath, document: Document) -> list[Fault]:
    """Paths a plugin was given: missing may be meant (a folder yet to come), unreadable is not."""
    faults: list[Fault] = []
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        if plain_type(info.annotation) is not Path or value is None:
            continue
        path = (*prefix, name)
        if not value.exists():
            message = f"{value} does not exist."
            hint = "Create it, or correct the path."
            faults.append(document.fault(path, message, hint, severity="warning"))
        elif not os.access(value, os.R_OK):
            faults.append(document.fault(path, f"{value} may not be read.", "Mend its mode."))
    return faults


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
