"""Components that run in a process of their own: one instance of a plugin each.

A component that raises, hangs, crashes, leaks or floods harms its own process only. The daemon
starts the process, watches it and ends it (`retaild.runtime.isolation`); what it does in there is
its kind's runner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retaild.runtime.context import WorkerContext

if TYPE_CHECKING:
    from retaild.config.sections import PluginInstance

#: Kind -> the function that runs one instance until `context.stop` is set.
RUNNERS = {
    "source": "retaild.runtime.component.source:run",
    "alert": "retaild.runtime.component.alert:run",
    "identity": "retaild.runtime.component.identity:run",
    "service": "retaild.runtime.component.service:run",
}
ISOLATED_KINDS = tuple(RUNNERS)
#: Kinds whose one plugin is the work of a worker, which has the kind's name.
HOSTED_KINDS = ("stream",)
#: Kinds whose instances can be held back: by people, or in quarantine.
HELD_KINDS = (*ISOLATED_KINDS, *HOSTED_KINDS)


def process_name(kind: str, instance: str) -> str:
    """Name of the instance's process in the state, in logs and on the command line."""
    return kind if kind in HOSTED_KINDS else f"{kind}.{instance}"


def instance_of(process: str) -> tuple[str, str]:
    """(kind, instance) of what has such a process name."""
    kind, _, instance = process.partition(".")
    return kind, instance or kind


@dataclass(frozen=True)
class ComponentContext(WorkerContext):
    """`name` is the process's name ("source.tills"); `heartbeat` is due at least every 2 s.

    Before every call into the plugin's code the runner beats; a call that takes longer than
    `limits.hung_seconds` counts as hung (while opening: `limits.open_seconds`).
    """

    kind: str = ""
    instance: str = ""
    #: What it may take; 0: not known.
    memory_mib: int = 0

    @property
    def plugin(self) -> PluginInstance:
        section = getattr(self.settings, self.kind)
        found: PluginInstance = section[self.instance] if isinstance(section, dict) else section
        return found
