"""What a condition is: it looks at facts and says what is wrong now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from retaild.api.alert import Severity
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime.state import State


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions look at; `now` is seconds since the epoch (UTC)."""

    state: State
    data: DataDir
    settings: Settings
    now: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; its key begins with the condition's source."""

    key: str
    severity: Severity
    summary: str
    hint: str
    details: Mapping[str, str] = field(default_factory=dict)


class Condition(Protocol):
    """Its alerts are those whose keys begin with `source`; it alone raises and resolves them."""

    source: str

    def look(self, facts: Facts) -> Iterable[Finding]:
        """All that is wrong now."""

    def is_sure(self, now: float) -> bool:
        """Whether what was not found is well; False while it has not watched for long enough."""


class Sure:
    """For conditions that need no history."""

    def is_sure(self, now: float) -> bool:
        return True
