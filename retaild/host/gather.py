"""The Specs that a plugin module registers, and what is wrong with it, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pluggy

from retaild.api import hookspecs
from retaild.api.alert import AlertSinkSpec
from retaild.api.base import SUPPORTED_API_VERSIONS, Spec
from retaild.api.batch import BatchEngineSpec
from retaild.api.bus import BusSpec
from retaild.api.feature import FeatureBackendSpec
from retaild.api.gate import GateSpec
from retaild.api.identity import IdentityProviderSpec
from retaild.api.service import ServiceSpec
from retaild.api.source import SourceSpec
from retaild.api.stream import StreamProcessorSpec
from retaild.api.target import DeployTargetSpec
from retaild.api.trainer import TrainerSpec

#: Kind -> the hook that registers its Specs, and what they are.
_KINDS: dict[str, tuple[str, type[Spec]]] = {
    "source": ("retaild_sources", SourceSpec),
    "bus": ("retaild_buses", BusSpec),
    "stream": ("retaild_stream_processors", StreamProcessorSpec),
    "batch": ("retaild_batch_engines", BatchEngineSpec),
    "features": ("retaild_feature_backends", FeatureBackendSpec),
    "trainer": ("retaild_trainers", TrainerSpec),
    "gate": ("retaild_gates", GateSpec),
    "alert": ("retaild_alert_sinks", AlertSinkSpec),
    "identity": ("retaild_identity_providers", IdentityProviderSpec),
    "service": ("retaild_services", ServiceSpec),
    "target": ("retaild_deploy_targets", DeployTargetSpec),
}
HOOKS = {kind: hook for kind, (hook, _) in _KINDS.items()}
KINDS = tuple(HOOKS)

#: Told what is wrong, in half a sentence that goes on after "Plugin X:".
Complain = Callable[[str], None]


def load_specs(load: Callable[[], ModuleType], complain: Complain) -> list[tuple[str, Spec]]:
    """Import a plugin module and gather (kind, Spec). Never raises what the plugin raises."""
    try:
        module = load()
    except (Exception, SystemExit) as error:  # a plugin's import may fail in any way
        complain(f"it cannot be imported: {said(error)}.")
        return []
    return list(specs_of(module, complain))


def specs_of(module: ModuleType, complain: Complain) -> Iterator[tuple[str, Spec]]:
    manager = pluggy.PluginManager("retaild")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
    except Exception as error:  # looking for hooks touches every name of the module
        complain(f"it does not fit this version of retaild: {said(error)}.")
        return
    hooks = [(kind, getattr(manager.hook, name)) for kind, name in HOOKS.items()]
    if not any(hook.get_hookimpls() for _, hook in hooks):
        complain("it registers nothing (no function is marked with @hookimpl).")
    for kind, hook in hooks:
        for implementation in hook.get_hookimpls():
            yield from _of_hook(kind, implementation.function, complain)


def _of_hook(kind: str, function: Any, complain: Complain) -> Iterator[tuple[str, Spec]]:
    hook, expected = _KINDS[kind]
    try:
        specs = list(function())
    except (Exception, SystemExit) as error:  # a plugin's hook may fail in any way
        complain(f"its hook {hook} failed: {said(error)}.")
        return
    for spec in specs:
        if not isinstance(spec, expected):
            complain(f"its hook {hook} gives a {type(spec).__name__}, not a {expected.__name__}.")
        elif spec.api_version not in SUPPORTED_API_VERSIONS:
            complain(wrong_interface({spec.api_version}))
        else:
            yield kind, spec


def wrong_interface(stated: set[int] | frozenset[int]) -> str:
    """What a person does who has a plugin for another version of the interface."""
    ours = " or ".join(map(str, sorted(SUPPORTED_API_VERSIONS)))
    written = " or ".join(map(str, sorted(stated)))
    if min(stated) > max(SUPPORTED_API_VERSIONS):
        what = f"Upgrade retaild, or install a version of the plugin for interface {ours}"
    else:
        what = f"Install a newer version of the plugin, one for interface {ours}"
    return f"it is written for plugin interface {written}, but this retaild has {ours}. {what}."


def said(error: BaseException) -> str:
    """The error in a line: its type where the text alone says too little."""
    if isinstance(error, SystemExit):
        return "it ends the process (SystemExit)"
    text = " ".join(str(error).split()).rstrip(".")[:500]
    return text if isinstance(error, ImportError) and text else f"{type(error).__name__}: {text}"
