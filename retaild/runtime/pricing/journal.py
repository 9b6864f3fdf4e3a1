"""Decisions on prices happen one after the other, and an approval that has begun is finished.

An approval touches two stores: the log (the price event) and the state (the proposal). It is
written down before either; whoever comes next after a crash, to decide anything, first finishes
what was begun, with the very same event. So a price that has left for the log never belongs to a
rejected proposal, and who approved it and since when is told the same everywhere.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retaild.config.paths import DataDir
from retaild.runtime.job_lock import JobRunningError, job_lock

#: Seconds to wait for another decision; each takes some milliseconds.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Journal:
    """Approvals under way, a file each below the data directory."""

    data: DataDir

    @property
    def directory(self) -> Path:
        return self.data.root / "decisions"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process or thread decides meanwhile. Raises JobRunningError after PATIENCE."""
        until = time.monotonic() + PATIENCE

        def wait(_: JobRunningError) -> bool:
            time.sleep(0.01)
            return time.monotonic() < until

        with job_lock(self.data, "price-decision", wait):
            yield

    def begin(self, proposal_id: str, intent: dict[str, Any]) -> None:
        """Write down what is about to be done; survives a power cut when this returns."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._path(proposal_id)
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(intent, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(self.directory)

    def end(self, proposal_id: str) -> None:
        self._path(proposal_id).unlink(missing_ok=True)

    def finish(self, action: Callable[[str, dict[str, Any]], object]) -> None:
        """Call `action(proposal_id, intent)` for everything that was begun and not ended."""
        if not self.directory.is_dir():
            return
        for path in sorted(self.directory.glob("*.json")):
            action(path.stem, json.loads(path.read_text("utf-8")))

    def _path(self, proposal_id: str) -> Path:
        return self.directory / f"{proposal_id}.json"


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
