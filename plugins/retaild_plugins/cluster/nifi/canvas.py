"""Deploys flows into a running NiFi, by nipyapi: a process group per flow, with its version."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import nipyapi
from nipyapi.nifi.rest import ApiException
from urllib3.exceptions import HTTPError

from retaild.api import TransientError
from retaild.api.service import Figures
from retaild_plugins.cluster.nifi.flows import Plan, Step

#: A flow that is replaced has so long to hand on what is in its queues.
DRAIN_SECONDS = 30.0
#: NiFi writes what was made to its disk within a second; on a busy disk later.
SAVE_SECONDS = 30.0
#: What trying again waits.
PENALTY = "5 sec"


class Canvas:
    """`address`: of NiFi's REST interface; `flow_file`: where it keeps its flows (JSON, gzip)."""

    def __init__(self, address: str, flow_file: Path) -> None:
        self._flow_file = flow_file
        nipyapi.config.nifi_config.host = address
        # It keeps a client for the address that it was first asked with.
        nipyapi.config.nifi_config.api_client = None
        # That it does not answer yet is told once, by the probe.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self._types: dict[str, Any] = {}

    def check(self) -> str:
        """Its version. Raises TransientError while it does not answer."""
        flow = nipyapi.nifi.FlowApi()
        return str(_asked(flow.get_about_info).about.version)

    # -- deploying ---------------------------------------------------------------------------------

    def deploy(self, name: str, plan: Plan) -> None:
        """Make the flow as planned and let it run; one that is there already goes on."""
        _asked(lambda: self._deploy(name, plan))

    def _deploy(self, name: str, plan: Plan) -> None:
        found = self._groups().get(name)
        if found is not None and found.component.comments == _comment(plan):
            nipyapi.canvas.schedule_process_group(found.id, True)
            return
        if found is not None and self._change(found, plan):
            return
        root = nipyapi.canvas.get_process_group(nipyapi.canvas.get_root_pg_id(), "id")
        place = (400.0 * len(self._groups()), 0.0)
        group = nipyapi.canvas.create_process_group(root, name, place)
        try:
            self._fill(group, plan)
        except Exception:
            nipyapi.canvas.delete_process_group(group, force=True)
            raise
        self._start(group, plan)

    def _change(self, group: Any, plan: Plan) -> bool:
        """Give the flow that is there the planned settings; False if it had to be removed.

        Its processors stay, and with them what they remember: how far a log was read.
        """
        made = {p.component.name: p for p in nipyapi.canvas.list_all_processors(group.id)}
        if {(name, p.component.type) for name, p in made.items()} != {
            (step.name, step.type) for step in plan.steps
        }:
            self._remove(group)
            return False
        nipyapi.canvas.schedule_process_group(group.id, False)
        for step in plan.steps:
            nipyapi.canvas.update_processor(made[step.name], _settings(step))
        self._start(group, plan)
        return True

    def _start(self, group: Any, plan: Plan) -> None:
        """The mark last: a group that was cut off while it was made is made anew."""
        group = nipyapi.canvas.get_process_group(group.id, "id")
        nipyapi.canvas.update_process_group(group, {"comments": _comment(plan)})
        self._await_saved(group)
        nipyapi.canvas.schedule_process_group(group.id, True)

    def _await_saved(self, group: Any) -> None:
        """Until the group's queues are on NiFi's disk: killed before, it would start without them
        and drop what they held. Raises TransientError."""
        queues = {link.id for link in nipyapi.canvas.list_all_connections(group.id)}
        until = time.monotonic() + SAVE_SECONDS
        while not self._holds(queues):
            if time.monotonic() > until:
                raise TransientError(
                    f"NiFi has not written flow {group.component.name!r} to its disk yet.",
                    hint=f"See whether {self._flow_file.parent} can be written.",
                )
            time.sleep(0.1)

    def _holds(self, ids: set[str]) -> bool:
        """Whether all are in the flows as they are on the disk."""
        with suppress(OSError, EOFError):  # none yet, or it is being written
            saved = gzip.decompress(self._flow_file.read_bytes()).decode()
            return all(one in saved for one in ids)
        return False

    def _fill(self, group: Any, plan: Plan) -> None:
        made = {
            step.name: self._processor(group, step, 220.0 * place)
            for place, step in enumerate(plan.steps)
        }
        for link in plan.links:
            nipyapi.canvas.create_connection(
                made[link.source], made[link.target], list(link.relationships)
            )

    def _processor(self, group: Any, step: Step, height: float) -> Any:
        kind = self._type(step.type)
        return nipyapi.canvas.create_processor(
            group, kind, (0.0, height), step.name, _settings(step)
        )

    def _type(self, name: str) -> Any:
        if not self._types:
            found = nipyapi.nifi.FlowApi().get_processor_types().processor_types
            self._types = {one.type: one for one in found}
        return self._types[name]

    def remove_others(self, names: set[str]) -> None:
        """Flows of ours that are not configured any longer; people's own groups stay."""
        for name, group in _asked(self._groups).items():
            if name not in names and _is_ours(group):
                _asked(partial(self._remove, group))

    def _remove(self, group: Any) -> None:
        """Take in nothing new, hand on what is there, then delete it. Raises TransientError."""
        processors = nipyapi.canvas.list_all_processors(group.id)
        fed = {
            link.destination_id
            for link in nipyapi.canvas.list_all_connections(group.id)
            if link.source_id != link.destination_id
        }
        for processor in processors:
            if processor.id not in fed:
                nipyapi.canvas.schedule_processor(processor, False)
        until = time.monotonic() + DRAIN_SECONDS
        while waiting := _queued(group.id):
            if time.monotonic() > until:
                raise TransientError(
                    f"Flow {group.component.name!r} still holds {waiting} files in its queues.",
                    hint="It is replaced as soon as they are handed on; see the pages of NiFi.",
                )
            time.sleep(0.5)
        nipyapi.canvas.schedule_process_group(group.id, False)
        nipyapi.canvas.delete_process_group(group, force=True)

    def _groups(self) -> dict[str, Any]:
        """Name -> process group, of those directly on the canvas."""
        root = nipyapi.canvas.get_root_pg_id()
        found = nipyapi.nifi.ProcessGroupsApi().get_process_groups(root).process_groups
        return {group.component.name: group for group in found}

    # -- watching ----------------------------------------------------------------------------------

    def figures(self) -> Figures:
        """Queued files and bytes in all, and per flow what went through in five minutes."""
        figures: dict[str, float | str] = {}
        queued = 0.0
        for name, group in sorted(_asked(self._groups).items()):
            snapshot = group.status.aggregate_snapshot
            queued += snapshot.flow_files_queued
            flow = (
                f"{snapshot.flow_files_received} in, {snapshot.flow_files_sent} out in five minutes"
            )
            stopped = group.stopped_count + group.invalid_count
            figures[f"flow {name}"] = f"{stopped} processors stand still" if stopped else flow
        return {"queued": queued, **figures}


def _settings(step: Step) -> Any:
    return nipyapi.nifi.ProcessorConfigDTO(
        properties=dict(step.properties),
        auto_terminated_relationships=list(step.ends),
        scheduling_period=step.every,
        penalty_duration=PENALTY,
        sensitive_dynamic_property_names=list(step.secret) or None,
    )


def _comment(plan: Plan) -> str:
    return f"Deployed by retaild, version {plan.version}. Changes here are lost at its next one."


def _is_ours(group: Any) -> bool:
    return str(group.component.comments or "").startswith("Deployed by retaild,")


def _queued(group_id: str) -> int:
    status = nipyapi.nifi.FlowApi().get_process_group_status(group_id)
    return int(status.process_group_status.aggregate_snapshot.flow_files_queued)


def _asked(question: Callable[[], Any]) -> Any:
    """Raises TransientError when it does not answer or refuses."""
    try:
        return question()
    except (ApiException, HTTPError, OSError, ValueError, AssertionError) as error:
        said = " ".join(str(getattr(error, "body", None) or error).split())[:300]
        raise TransientError(
            f"NiFi does not do it: {said}.", hint="It needs some twenty seconds to start."
        ) from error
