"""What holds for a plugin of any kind: it registers what it should, and its sample is valid."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

from retaild.api import Spec
from retaild.config.documents import Document
from retaild.config.sections import PluginInstance
from retaild.config.settings import ONE_PLUGIN, Settings
from retaild.host.check_settings import settings_faults
from retaild.host.gather import specs_of


def specs_in(module: ModuleType) -> list[tuple[str, Spec]]:
    """(kind, Spec) of all that a plugin module registers, as the host sees it.

    Fails with the host's sentence if the host would refuse any of it.
    """
    complaints: list[str] = []
    found = list(specs_of(module, complaints.append))
    assert not complaints, f"Plugin {module.__name__}: {' '.join(complaints)}"
    return found


def check_sample(
    kind: str, spec: Spec, sample: Mapping[str, Any], also: Collection[str] = ()
) -> None:
    """`sample` (a parsed sample.toml) configures this plugin and nothing else, without a fault.

    `also`: the other kinds that the same module registers; they share the sample.

    Paths in it need not exist here, and secrets need not be readable.
    """
    wanted = {kind, *also}
    assert set(sample) == wanted, f"the sample has tables of {sorted(sample)}, not of {wanted}"
    instances = {kind: sample[kind]} if kind in ONE_PLUGIN else sample[kind]
    for name, table in instances.items():
        instance = PluginInstance.model_validate({"plugin": name, **table})
        assert instance.plugin == spec.name, f"[{kind}.{name}] is for {instance.plugin!r}"
        base = Settings().base_dir
        faults = settings_faults(spec.config, (kind, name), instance.settings, base, Document())
        assert [str(f) for f in faults if f.severity == "error" and not _is_secret(f.message)] == []


def _is_secret(message: str) -> bool:
    return message.startswith("The secret ") and "cannot be read" in message
