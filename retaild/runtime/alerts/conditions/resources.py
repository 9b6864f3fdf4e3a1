"""The disk, and the certificate of the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retaild.api.alert import Severity
from retaild.config.settings import Settings
from retaild.runtime import disk
from retaild.runtime.alerts.conditions.certificate import CertificateError, ends_at
from retaild.runtime.alerts.conditions.condition import Facts, Finding, Sure

DAY = 86_400.0


@dataclass
class Disk(Sure):
    """Too full, or full in too few days."""

    source: str = "disk"

    def look(self, facts: Facts) -> Iterator[Finding]:
        disk.sample(facts.data, facts.now)
        space = disk.space(facts.data, facts.now)
        severity = self._severity(facts, space)
        if severity is not None:
            days = "" if space.days_left is None else f", and full in {space.days_left:.1f} days"
            yield Finding(
                "disk.data",
                severity,
                f"The disk of {facts.data.root} is {1 - space.free_share:.0%} full{days}.",
                "See `retaildctl doctor`; shorten what [lake] keeps, or give it more disk.",
                {"free MiB": f"{space.free / 2**20:.0f}"},
            )

    def _severity(self, facts: Facts, space: disk.Space) -> Severity | None:
        limits = facts.settings.alerts
        allowed = 100 - limits.disk_percent
        free = space.free_share * 100
        if free < allowed / 2:
            return "critical"
        soon = space.days_left is not None and space.days_left < limits.disk_days
        return "warning" if free < allowed or soon else None


@dataclass
class Certificate(Sure):
    """The API's certificate ends soon, has ended, or cannot be read."""

    source: str = "certificate"

    def look(self, facts: Facts) -> Iterator[Finding]:
        found = certificate_finding(facts.settings, facts.now)
        if found is not None:
            yield found


def certificate_finding(settings: Settings, now: float) -> Finding | None:
    """What is wrong with the certificate at `now` (seconds, UTC); None: nothing, or no TLS."""
    files = settings.tls_files
    if files is None:
        return None
    path = files[0]
    hint = "Put a new certificate there; it is taken up within seconds."
    try:
        days = (ends_at(path.read_bytes()) - now) / DAY
    except (OSError, CertificateError) as error:
        summary = f"The certificate {path} cannot be read: {error}"
        return Finding("certificate.api", "critical", summary, hint)
    severity = _certificate_severity(days, settings.alerts.certificate_days)
    if severity is None:
        return None
    when = f"ends in {days:.1f} days" if days >= 0 else f"ended {-days:.1f} days ago"
    return Finding("certificate.api", severity, f"The certificate {path} {when}.", hint)


def _certificate_severity(days: float, limits: tuple[int, int, int]) -> Severity | None:
    info, warning, critical = limits
    if days < critical:
        return "critical"
    if days < warning:
        return "warning"
    return "info" if days < info else None
