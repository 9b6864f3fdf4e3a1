"""The process that imports a stranger's plugins, so that no other has to: see `inspection.py`.

What a plugin prints goes nowhere; answers go out line by line, so that those before a crash count.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retaild.api.base import Spec

#: Address space and output of the process, in bytes; processor seconds.
MEMORY, OUTPUT, SECONDS = 4 << 30, 64 << 20, 30

Message = dict[str, Any]


def work(tasks: Iterable[Message]) -> None:
    """Do each task and write its answer, a line of JSON, to what was standard output. Ends the
    process: threads that a plugin started do not keep it."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT, OUTPUT))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for task in tasks:
        answer = {"describe": describe, "check": check}[task["task"]](task)
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()
    os._exit(0)


def _specs(task: Message, faults: list[Message]) -> Iterable[tuple[str, str, str, Spec]]:
    """(entry, module, kind, Spec) of all entry points of the task's distribution."""
    from retaild.host.gather import load_specs

    for entry, module in task["entries"]:

        def complain(message: str, entry: str = entry) -> None:
            faults.append({"name": entry, "message": message})

        for kind, spec in load_specs(partial(import_module, module), complain):
            yield entry, module, kind, spec


def describe(task: Message) -> Message:
    faults: list[Message] = []
    plugins = [
        {"kind": kind, "entry": entry, "module": module, **_facts(spec, module)}
        for entry, module, kind, spec in _specs(task, faults)
    ]
    return {"plugins": plugins, "faults": faults}


def _facts(spec: Spec, module: str) -> Message:
    from retaild.api.base import Spec
    from retaild.host.describe import places_of, sample_in, settings_of

    common = {field.name for field in fields(Spec)}
    own = {f.name: _plain(getattr(spec, f.name)) for f in fields(spec) if f.name not in common}
    secrets, paths = places_of(spec.config)
    return {
        "name": spec.name,
        "summary": spec.summary,
        "version": spec.version,
        "api_version": spec.api_version,
        "requires": list(spec.requires),
        "own": own,
        "settings": settings_of(spec.config),
        "schema": _schema(spec),
        "secrets": secrets,
        "paths": paths,
        "sample": sample_in(module),
    }


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset | set) else value


def _schema(spec: Spec) -> Mapping[str, Any]:
    try:
        return spec.config.model_json_schema()
    except Exception:  # a field's type of the plugin's own: not every one has a schema
        return {}


def check(task: Message) -> Message:
    """Validate one instance's settings; the faults as they go into a Fault."""
    from retaild.config.documents import Document
    from retaild.host.check_settings import settings_faults

    faults: list[Message] = []
    for _, _, kind, spec in _specs(task, faults):
        if (kind, spec.name) == (task["kind"], task["plugin"]):
            document = Document(places=task["places"])
            prefix, base = tuple(task["prefix"]), Path(task["base"])
            found = settings_faults(spec.config, prefix, task["settings"], base, document)
            return {"checked": [asdict(fault) for fault in found], "faults": []}
    return {"checked": None, "faults": faults}
