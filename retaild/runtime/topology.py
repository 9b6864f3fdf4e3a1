"""Which processes a configuration asks for, and from what each of them is made.

Two plans with the same fingerprint would do the same: a reload leaves such a process alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retaild.api.errors import ConfigError
from retaild.config.active import secret_references
from retaild.config.diff import effective
from retaild.config.documents import KeyPath
from retaild.config.paths import DataDir
from retaild.config.references import read_secret
from retaild.config.sections import PluginInstance
from retaild.config.settings import MANY_PLUGINS, Settings
from retaild.runtime.component import ISOLATED_KINDS
from retaild.runtime.listening import LISTEN_VARIABLE
from retaild.runtime.plans import WorkerPlan, hosting_of, plan_worker
from retaild.runtime.worker_kinds import ENTRIES

#: Kinds that run in processes, and the daemon's own things.
PROCESSES = frozenset({"ingest", "stream", "serve", "source", "alert", "identity", "service"})
DAEMON = frozenset({"daemon"})
#: Read by each job when it starts, or by people only.
NOTHING: frozenset[str] = frozenset()

#: Setting (or a table of settings) -> what is made from it. The longest path that fits counts; of
#: tables of instances (source, alert) each process has its own only. A setting that is missing
#: here touches every process: slow, but never wrong. A test wants each to be here.
TOUCHES: Mapping[KeyPath, frozenset[str]] = {
    ("retaild",): PROCESSES,
    ("retaild", "software_dir"): frozenset({"stream", "service"}),
    ("retaild", "data_dir"): NOTHING,  # cannot be reloaded, see `unreloadable`
    ("retaild", "timezone"): PROCESSES | DAEMON,
    ("retaild", "log_level"): PROCESSES | DAEMON,
    ("retaild", "clock_offset_seconds"): frozenset({"serve"}),
    ("retaild", "hung_seconds"): DAEMON,
    ("retaild", "reload_seconds"): DAEMON,
    ("retaild", "reload_on_change"): DAEMON,
    ("api",): frozenset({"serve"}),
    ("api", "max_backlog_rows"): frozenset({"serve", "ingest"}),
    ("lake",): NOTHING,
    ("lake", "interval_seconds"): frozenset({"stream"}),
    ("recommendations",): frozenset({"serve"}),
    ("alerts",): DAEMON,
    ("bus",): frozenset({"ingest", "stream", "serve"}),
    ("stream",): frozenset({"stream"}),
    ("batch",): NOTHING,
    ("features",): NOTHING,
    ("source",): frozenset({"source"}),
    ("trainer",): frozenset({"serve"}),
    ("gate",): NOTHING,
    ("alert",): frozenset({"alert"}),
    ("service",): frozenset({"service"}),
    ("target",): frozenset({"serve"}),
    ("identity",): frozenset({"identity", "serve"}),
    ("access",): frozenset({"serve"}),
    ("backup",): NOTHING,
    ("job",): DAEMON,
    ("demo",): NOTHING,
}


def touched(path: KeyPath) -> frozenset[str]:
    """What is made from the setting at `path`."""
    for length in range(len(path), 0, -1):
        if path[:length] in TOUCHES:
            return TOUCHES[path[:length]]
    return PROCESSES | DAEMON


class Secrets:
    """Digests of what references lead to, keyed anew in each daemon and never written down."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def digests(self, values: Mapping[str, Any], base: Path) -> dict[KeyPath, str]:
        """Path of each reference -> a digest of the secret's content; "" if it cannot be read."""
        return {
            path: self._digest(path[-1], reference, base)
            for path, reference in secret_references(values).items()
        }

    def _digest(self, name: str, reference: Mapping[str, str], base: Path) -> str:
        try:
            secret = read_secret(name, reference, base).get_secret_value()
        except ConfigError:
            return ""
        return hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()


#: (kind, name, instance, data, configuration file) -> plan.
PlanInstance = Callable[[str, str, PluginInstance, DataDir, Path], WorkerPlan]


@dataclass(frozen=True)
class Basis:
    """All that plans are made from. `config` is what the processes are given to read.

    `plugins`: "kind.plugin" -> version; `secrets`: see Secrets; `listening`: the socket's number.
    """

    settings: Settings
    data: DataDir
    config: Path
    plugins: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[KeyPath, str] = field(default_factory=dict)
    listening: int | None = None
    workers: Mapping[str, str] = field(default_factory=lambda: dict(ENTRIES))
    #: Plans a process of its own for an instance; None: instances are left out.
    plan_instance: PlanInstance | None = None

    def plans(self) -> dict[str, WorkerPlan]:
        """Name -> plan of every process to keep."""
        facts = self._facts()
        plans = {kind: self._worker(kind, entry, facts) for kind, entry in self.workers.items()}
        return {**plans, **{plan.name: plan for plan in self._instances(facts)}}

    def _instances(self, facts: dict[KeyPath, Any]) -> Iterator[WorkerPlan]:
        for kind, name, instance in self.settings.instances():
            if self.plan_instance is not None and self._is_needed(kind):
                plan = self.plan_instance(kind, name, instance, self.data, self.config)
                own = name if kind in MANY_PLUGINS else ""
                yield replace(plan, fingerprint=fingerprint({kind}, own, facts))

    def _is_needed(self, kind: str) -> bool:
        """Nobody is asked who they are while everybody may come in."""
        return kind in ISOLATED_KINDS and (kind != "identity" or self.settings.access_required)

    def _worker(self, kind: str, entry: str, facts: dict[KeyPath, Any]) -> WorkerPlan:
        stated = None if ENTRIES.get(kind) == entry else entry
        hosting = hosting_of(kind, self.settings)
        plan = plan_worker(kind, self.data, self.config, stated, hosting)
        plan = replace(plan, fingerprint=fingerprint({kind}, "", facts))
        if kind == "serve" and self.listening is not None:
            told = ((LISTEN_VARIABLE, str(self.listening)),)
            plan = replace(plan, pass_fds=(self.listening,), environment=told)
        return plan

    def _facts(self) -> dict[KeyPath, Any]:
        """Settings with what they lead to: versions of plugins, contents of secrets."""
        facts = effective(self.settings)
        for path, digest in self.secrets.items():
            facts[path] = [facts.get(path), digest]
        for kind, name, instance in self.settings.instances():
            where = (kind, name) if kind in MANY_PLUGINS else (kind,)
            version = self.plugins.get(f"{kind}.{instance.plugin}", "")
            facts[(*where, "plugin")] = [instance.plugin, version]
        facts["retaild", "base"] = str(self.settings.base_dir)
        return facts


def fingerprint(kinds: Collection[str], instance: str, facts: Mapping[KeyPath, Any]) -> str:
    """Of what a process of `kinds` depends on; of its kind's tables an `instance` has its own."""
    own = [
        (path, value)
        for path, value in sorted(facts.items(), key=lambda item: item[0])
        if not touched(path).isdisjoint(kinds)
        and (not instance or path[0] not in kinds or path[1] == instance)
    ]
    return hashlib.sha256(json.dumps(own, default=str).encode()).hexdigest()
