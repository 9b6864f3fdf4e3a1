"""Kind `gate`: judges a new model version before it may become champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from retaild.api.base import Spec
from retaild.api.trainer import TrainingResult


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the version may pass, and why, with the figures."""

    passed: bool
    reason: str


class Gate(Protocol):
    def judge(self, challenger: TrainingResult, champion: dict[str, float] | None) -> Verdict:
        """`champion` has the champion's metrics on the challenger's own evaluation split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec(Spec):
    """Registers a gate. `build` returns a Gate."""
