"""What the daemon tells about itself."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from retaild import __version__
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime.process import resident_bytes
from retaild.runtime.state import Row, State


def daemon_facts(data: DataDir, config: Path | None, since: float, phase: str) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "version": __version__,
        "state": phase,
        "since": since,
        "rss_bytes": resident_bytes(os.getpid()),
        "data_dir": str(data.root),
        "config": str(config) if config else None,
    }


def worker_facts(state: State) -> list[Row]:
    now = time.time()
    return [
        {
            **row,
            "beat_age": None if row["beat"] is None else round(max(0.0, now - row["beat"]), 1),
            "rss_bytes": resident_bytes(row["pid"]) if row["pid"] else 0,
        }
        for row in state.workers()
    ]


def job_facts(settings: Settings, state: State, due: dict[str, datetime]) -> list[dict[str, Any]]:
    """Configured jobs with their schedule, next time and last run."""
    facts = []
    for name, job in settings.job.items():
        last = next(iter(state.runs(job=name, limit=1)), None)
        next_run = due.get(name)
        facts.append(
            {
                "name": name,
                "kind": job.kind,
                "cron": job.cron,
                "every_seconds": job.every_seconds,
                "enabled": job.enabled,
                "next_run": next_run.timestamp() if next_run else None,
                "last_run": last and {k: last[k] for k in ("id", "state", "started", "finished")},
            }
        )
    return facts


def api_url(settings: Settings) -> str:
    """Where this machine itself reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.api.host, settings.api.host)
    scheme = "https" if settings.tls_files else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.api.port}"


def api_facts(settings: Settings) -> dict[str, Any]:
    """`certificate`: of the server's own TLS; None: it speaks none."""
    files = settings.tls_files
    return {"url": api_url(settings), "certificate": str(files[0]) if files else None}
