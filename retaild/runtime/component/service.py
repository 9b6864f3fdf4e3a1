"""Runs one managed service: starts its servers, watches them, stops them."""

from __future__ import annotations

import hashlib
import logging
import os
import time

from retaild.api.service import Service
from retaild.runtime.component import ComponentContext
from retaild.runtime.isolation.family import Table
from retaild.runtime.services.keeper import LOOK, Keeper
from retaild.runtime.services.supervision import Supervision, supervision

_log = logging.getLogger(__name__)


def run(context: ComponentContext) -> None:
    """Work until `context.stop`. Raises what the service and its keeper raise."""
    service: Service = context.build("service", context.instance)
    keeper = Keeper(service, supervision=_supervision(context))
    began = time.monotonic()
    try:
        figures = keeper.start(context.stop.is_set)
        if context.stop.is_set():
            return
        _log.info("it answers after %.1f s", time.monotonic() - began)
        listens = ", ".join(f"{e.name} {e.host}:{e.port}" for e in service.endpoints())
        context.heartbeat(
            answers="yes",
            start_seconds=_seconds(began),
            listens=listens,
            memory=_memory(keeper),
            **figures,
        )
        while not context.stop.wait(LOOK):
            found = keeper.watch()
            # The time is a figure that changes: what looks for runaways sees that it goes on.
            context.heartbeat(up_seconds=_seconds(began))
            if found is not None:
                context.heartbeat(memory=_memory(keeper), **found)
    finally:
        keeper.stop()


def _supervision(context: ComponentContext) -> Supervision:
    settings = context.plugin.model_dump_json().encode()
    return supervision(
        context.settings.retaild.supervision, context.instance, context.data.logs,
        context.memory_mib, hashlib.sha256(settings).hexdigest(),
    )  # fmt: skip


def _seconds(began: float) -> float:
    return round(time.monotonic() - began, 1)


def _memory(keeper: Keeper) -> float:
    """Bytes of this process and its servers; what they share counts more than once."""
    table = Table()
    roots = (os.getpid(), *keeper.pids.values())
    family = {one.pid: one for pid in roots for one in table.members(pid) if not one.ended}
    return float(sum(one.resident_bytes for one in family.values()))
