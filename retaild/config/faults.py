"""What is wrong with a configuration, in words, with the place where to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from retaild.api.errors import RetaildError


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `file` is a path, or "environment"; `line` counts from 1, 0: no line applies.

    `path` is the dotted name of the setting. A warning does not keep the daemon from starting.
    """

    file: str
    line: int
    path: str
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    @property
    def place(self) -> str:
        if self.line:
            return f"{self.file}:{self.line}"
        return self.file or "configuration"

    def __str__(self) -> str:
        return f"{self.place}: {self.message} {self.hint}".rstrip()


class ConfigFaultsError(RetaildError):
    """The configuration cannot be used; `faults` has every reason."""

    key = "config.faults"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        listed = "\n".join(f"  {fault}" for fault in faults)
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(
            f"The configuration has {count}:\n{listed}",
            hint="Mend it, then run `retaildctl check`.",
        )
