"""The models."""

from __future__ import annotations

from collections.abc import Iterator

from retaild.runtime import registry
from retaild.runtime.doctor.finding import Finding, Fix
from retaild.runtime.doctor.patient import Patient

_DAY = 86_400.0
#: By default models are trained every night: after three days something keeps them from it.
_OLD_DAYS = 3


def stale_model(patient: Patient) -> Iterator[Finding]:
    """A champion that was trained long ago, or none at all although there is data."""
    if patient.settings is None:
        return
    for trainer in patient.settings.trainer:
        champion = registry.champion(patient.data, trainer)
        if champion is None:
            if patient.lake.exists("silver.sale"):
                yield _finding(patient, trainer, "info", f"Trainer {trainer!r} has no model yet.")
            continue
        # Both by the machine's clock: when it was trained, not on which days.
        days = (patient.now() - champion.created) / _DAY
        if days > _OLD_DAYS and not _tried_since(patient, champion.created):
            said = f"The model of {trainer!r} was trained {days:.0f} days ago, and not again since."
            yield _finding(patient, trainer, "warning", said)


def _finding(patient: Patient, trainer: str, severity: str, summary: str) -> Finding:
    fix = Fix("Run the job `refresh`.", lambda: patient.run_job("refresh"))
    hint = "Is the job `refresh` disabled or failing? See `retaildctl job list`."
    return Finding(
        "stale-model", "info" if severity == "info" else "warning", summary, hint, trainer,
        fix if patient.running else None,
    )  # fmt: skip


def _tried_since(patient: Patient, moment: float) -> bool:
    """Whether training succeeded lately, even if the champion stayed: then it is no old model."""
    recent = max(moment, patient.now() - _OLD_DAYS * _DAY)
    rows = patient.rows(
        "SELECT 1 FROM job_run WHERE kind IN ('train', 'refresh') AND state = 'succeeded' "
        f"AND finished > {recent:f} LIMIT 1"
    )
    return bool(rows)
