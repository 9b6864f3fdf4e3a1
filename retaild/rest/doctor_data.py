"""The doctor for routes and pages: examinations in a process of their own.

An examination reads much of the lake; in the server's process it would hold up answers.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime.access.audit import note

TIMEOUT_SECONDS = 120.0
#: An examination is good for so long: a page that is reloaded does not make a new one.
FRESH_SECONDS = 15.0


class ExaminationError(RetaildError):
    key = "doctor.failed"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The examination failed: {reason}.", hint="Try `retaildctl doctor` on the machine."
        )


class UnknownFindingError(RetaildError):
    key = "finding.unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is nothing to fix under {name!r} (any more).", hint="Examine again."
        )


@dataclass
class DoctorData:
    """One examination at a time; all methods may take seconds. Lives in the event loop."""

    data: DataDir
    _newest: tuple[float, dict[str, Any]] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def findings(self) -> dict[str, Any]:
        """`findings`, worst first, and `at` (seconds, UTC). Raises ExaminationError."""
        async with self._lock:
            if self._newest is None or time.monotonic() - self._newest[0] > FRESH_SECONDS:
                answer = await self._run()
                self._newest = (time.monotonic(), {"at": time.time(), **answer})
            return self._newest[1]

    async def fix(self, finding: str) -> dict[str, Any]:
        """Apply one finding's fix: `done` in words, `failed`. Raises UnknownFindingError."""
        if not finding.isprintable():  # no process takes a zero byte as an argument
            raise UnknownFindingError(repr(finding))
        async with self._lock:
            answer = await self._run(f"--fix={finding}")
            self._newest = None
        applied = next(iter(answer["applied"]), None)
        if applied is None:
            raise UnknownFindingError(finding)
        before = {"found": applied.pop("found")}
        note(finding, before=before, after={key: applied[key] for key in ("done", "failed")})
        return dict(applied)

    async def _run(self, *arguments: str) -> dict[str, Any]:
        command = ["-m", "retaild.runtime.doctor", "--data", str(self.data.root), *arguments]
        # In a thread: the event loop's own way to start processes is not safe beside threads.
        said = await asyncio.to_thread(_output, [sys.executable, *command])
        answer: dict[str, Any] = json.loads(said)
        return answer


def _output(command: list[str]) -> bytes:
    """What it prints. Blocks; raises ExaminationError."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ExaminationError(f"it took longer than {TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ExaminationError(last[0] if last else f"exit code {done.returncode}")
    return done.stdout
