"""Runs the checks; one that fails itself is a finding like any other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from retaild.api.errors import RetaildError
from retaild.runtime.doctor import files, learning, machine, running, safety, services, tables
from retaild.runtime.doctor.finding import ORDER, Finding
from retaild.runtime.doctor.patient import Patient

Check = Callable[[Patient], Iterator[Finding]]

#: Name -> check, in the order in which they are made: first what others depend on.
CHECKS: dict[str, Check] = {
    "config": files.config,
    "state": files.state,
    "schema": files.schema,
    "permissions": files.permissions,
    "lock": files.lock,
    "restore": safety.restore,
    "set-aside": safety.set_aside,
    "disk": machine.disk,
    "memory": machine.memory,
    "clock": machine.clock,
    "port": running.port,
    "workers": running.workers,
    "quarantine": running.quarantine,
    "jobs": running.jobs,
    "service-software": services.software,
    "service-disk": services.software_disk,
    "service-java": services.java,
    "service-memory": services.memory,
    "service-port": services.ports,
    "backup": safety.backup,
    "certificate": safety.certificate,
    "small-files": tables.small_files,
    "dead-letters": tables.dead_letters,
    "silent-source": tables.silent_source,
    "future-events": tables.future_events,
    "stale-model": learning.stale_model,
}


class UnknownCheckError(RetaildError):
    key = "doctor.unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no check {name!r}.", hint=f"Known: {', '.join(CHECKS)}.")


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a fix: `done` in words, or why it failed."""

    finding: Finding
    done: str
    failed: bool = False


def examine(patient: Patient, only: Collection[str] = ()) -> list[Finding]:
    """All findings, worst first; a check that finds nothing says that all is well."""
    for name in only:
        if name not in CHECKS:
            raise UnknownCheckError(name)
    found = [f for name in CHECKS if not only or name in only for f in _checked(name, patient)]
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))


def _checked(name: str, patient: Patient) -> list[Finding]:
    try:
        return list(CHECKS[name](patient)) or [Finding(name, "ok", "Nothing to find fault with.")]
    except Exception as error:  # a sick patient may make any check fail
        return [
            Finding(
                name, "warning", f"This check could not be made: {type(error).__name__}: {error}",
                "What the other checks say may explain it.",
            )
        ]  # fmt: skip


def mend(findings: Collection[Finding]) -> list[Applied]:
    """Apply the fix of every finding that has one."""
    return [_mended(finding) for finding in findings if finding.fix]


def _mended(finding: Finding) -> Applied:
    assert finding.fix is not None
    try:
        return Applied(finding, finding.fix.apply())
    except (RetaildError, OSError) as error:
        return Applied(finding, str(error), failed=True)
