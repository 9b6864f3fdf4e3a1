"""What the checks look at, found out once and only when asked for."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retaild.api.errors import RetaildError
from retaild.api.lake import Lake
from retaild.config.faults import Fault
from retaild.config.paths import DataDir
from retaild.config.settings import Settings, inspect_settings
from retaild.runtime import control
from retaild.runtime._state_schema import MIGRATIONS


@dataclass
class Patient:
    """A data directory and the configuration that goes with it. `clock`: seconds, UTC."""

    data: DataDir
    config: Path | None = None
    clock: Callable[[], float] = time.time

    @cached_property
    def _inspected(self) -> tuple[Settings | None, list[Fault]]:
        settings, _, faults = inspect_settings(self.config, self.data.root)
        return settings, faults

    @property
    def settings(self) -> Settings | None:
        """None if the configuration has faults."""
        return self._inspected[0]

    @property
    def faults(self) -> list[Fault]:
        return self._inspected[1]

    @cached_property
    def status(self) -> dict[str, Any] | None:
        """What the daemon says of itself; None if it does not run or does not answer."""
        try:
            return control.request(self.data, "status")
        except RetaildError:
            return None

    @property
    def running(self) -> bool:
        return self.status is not None

    @property
    def lake(self) -> Lake:
        return Lake(self.data.lake)

    def now(self) -> float:
        """By the machine's clock."""
        return self.clock()

    def shop_now(self) -> float:
        """By the shop's clock."""
        offset = self.settings.retaild.clock_offset_seconds if self.settings else 0.0
        return self.clock() + offset

    @cached_property
    def state_version(self) -> int | None:
        """Schema version of state.db; None if there is none or it cannot be read."""
        try:
            return int(self._query("PRAGMA user_version")[0][0])
        except (sqlite3.Error, IndexError):
            return None

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """From state.db, without touching it; nothing if it is missing, broken or older."""
        if self.state_version != len(MIGRATIONS):
            return []
        try:
            return [dict(row) for row in self._query(sql)]
        except sqlite3.Error:
            return []

    def _query(self, sql: str) -> list[sqlite3.Row]:
        # Not mode=ro: the journal of a killed writer has to be rolled back first.
        uri = f"file:{quote(str(self.data.state_db))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql).fetchall()

    def run_job(self, job: str) -> str:
        """Ask the daemon to run a job: what fixes that take long do. Raises RetaildError."""
        answer = control.request(self.data, "run-job", job=job, arguments={}, trigger="doctor")
        return f"job {job!r} runs (run {answer['run_id']})"
