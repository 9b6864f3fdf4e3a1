"""The one directory that holds all state, and what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Kinds whose components share one well-known place; others get `<kind>/<instance>`.
_SHARED_PLACES = {"bus": "log", "features": "features"}


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths below the data directory `root`. Nothing is created by naming it."""

    root: Path

    @property
    def lake(self) -> Path:
        """Delta tables: `lake/<layer>/<table>`."""
        return self.root / "lake"

    @property
    def log(self) -> Path:
        """The embedded bus."""
        return self.root / "log"

    @property
    def online(self) -> Path:
        """Base snapshots of the server."""
        return self.root / "online"

    @property
    def models(self) -> Path:
        """Served artifacts: `models/<trainer>/<version>`."""
        return self.root / "models"

    @property
    def mlflow_db(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def mlartifacts(self) -> Path:
        return self.root / "mlartifacts"

    @property
    def features(self) -> Path:
        return self.root / "features"

    @property
    def state_db(self) -> Path:
        return self.root / "state.db"

    @property
    def schedule_db(self) -> Path:
        return self.root / "schedule.db"

    @property
    def restoring(self) -> Path:
        """Here only while a backup is restored, or after that was broken off."""
        return self.root / ".restoring"

    @property
    def run(self) -> Path:
        """Control socket and lock of the running daemon."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        return self.run / "retaild.sock"

    @property
    def lock(self) -> Path:
        """Held by the one daemon of this directory; holds its process id."""
        return self.run / "daemon.lock"

    @property
    def disk_history(self) -> Path:
        """How much was free when: see `retaild.runtime.disk`."""
        return self.run / "disk.jsonl"

    @property
    def logs(self) -> Path:
        """What workers and jobs say: `<worker>.log`, `job-<run id>.log`."""
        return self.root / "logs"

    @property
    def sources(self) -> Path:
        return self.root / "sources"

    @property
    def imports(self) -> Path:
        """Files handed over for import, until they are read."""
        return self.root / "imports"

    @property
    def software(self) -> Path:
        """Servers and engines that were fetched: `software/<name>/current`."""
        return self.root / "software"

    def worker_log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def job_log(self, run_id: int) -> Path:
        return self.logs / f"job-{run_id}.log"

    def state_dir(self, kind: str, instance: str) -> Path:
        """Where a component may keep its own things."""
        if kind in _SHARED_PLACES:
            return self.root / _SHARED_PLACES[kind]
        if kind == "source":
            return self.sources / instance
        return self.root / kind / instance

    def create(self) -> None:
        """Make the directories that the host itself writes to; only the owner may look in."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        for path in (self.run, self.logs, self.lake, self.imports):
            path.mkdir(exist_ok=True, mode=0o750)
