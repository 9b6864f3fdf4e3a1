"""Faults in a plugin's own settings: its model's, missing secrets, paths that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from retaild.api.errors import ConfigError
from retaild.config.documents import Document, KeyPath
from retaild.config.explain import explain, plain_type
from retaild.config.faults import Fault
from retaild.config.references import resolve


def settings_faults(
    model: type[BaseModel],
    prefix: KeyPath,
    settings: Mapping[str, Any],
    base: Path,
    document: Document,
) -> list[Fault]:
    """Faults of `settings`, the table at `prefix` of the document; paths in it start at `base`."""
    values, faults = _resolve_each(model, settings, base, prefix, document)
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        told = {fault.path for fault in faults}
        return faults + [f for f in explain(error, model, document, prefix) if f.path not in told]
    return faults + _check_paths(config, prefix, document)


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
