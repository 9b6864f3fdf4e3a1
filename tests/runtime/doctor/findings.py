"""What one check finds."""

from __future__ import annotations

from pathlib import Path

from retaild.runtime.doctor.examination import examine
from retaild.runtime.doctor.finding import Finding
from retaild.runtime.doctor.patient import Patient


def add(config: Path, text: str) -> None:
    with config.open("a") as file:
        file.write(text)


def found(patient: Patient, check: str) -> list[Finding]:
    return [f for f in examine(patient, [check]) if f.severity != "ok"]


def one(patient: Patient, check: str) -> Finding:
    (finding,) = found(patient, check)
    return finding
