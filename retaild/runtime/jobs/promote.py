"""Jobs `promote` and `rollback`: a person's decision on a model, carried out by MLflow's client."""

from __future__ import annotations

from typing import Any

from retaild.runtime.context import JobContext
from retaild.runtime.jobs import MissingArgumentError, WrongArgumentError
from retaild.runtime.registry_writer import RegistryWriter


def promote(context: JobContext) -> dict[str, Any]:
    """Make `version` of `trainer` the champion."""
    trainer = _needed(context, "promote", "trainer")
    number = _needed(context, "promote", "version")
    if not number.isdecimal():
        raise WrongArgumentError("promote", "version", number, "a version's number")
    reason = context.arguments.get("reason", "Chosen by a person.")
    version = RegistryWriter(context.data, context.state).promote(trainer, int(number), reason)
    return {"trainer": trainer, "champion": version.version}


def rollback(context: JobContext) -> dict[str, Any]:
    """Make the champion before the present one champion again."""
    trainer = _needed(context, "rollback", "trainer")
    reason = context.arguments.get("reason", "Chosen by a person.")
    version = RegistryWriter(context.data, context.state).rollback(trainer, reason)
    return {"trainer": trainer, "champion": version.version}


def _needed(context: JobContext, kind: str, name: str) -> str:
    try:
        return context.arguments[name]
    except KeyError:
        raise MissingArgumentError(kind, name) from None
