"""What an examination finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["ok", "info", "warning", "error"]
#: Worst first.
ORDER: tuple[Severity, ...] = ("error", "warning", "info", "ok")


@dataclass(frozen=True, slots=True)
class Fix:
    """A remedy that loses nothing and can be applied again. `apply` answers what it did."""

    description: str
    apply: Callable[[], str] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `check` and `target` together name it for good."""

    check: str
    severity: Severity
    #: What is so, in a sentence.
    summary: str
    #: What it means and what to do, where that is not plain.
    hint: str = ""
    #: Which of several: a table, a source, a file.
    target: str = ""
    fix: Fix | None = None

    @property
    def id(self) -> str:
        return f"{self.check}:{self.target}" if self.target else self.check

    def public(self) -> dict[str, str | None]:
        """For JSON and the pages."""
        return {
            "id": self.id,
            "check": self.check,
            "target": self.target,
            "severity": self.severity,
            "summary": self.summary,
            "hint": self.hint,
            "fix": self.fix.description if self.fix else None,
        }
