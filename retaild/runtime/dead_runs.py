"""Runs whose process is gone without a word: killed with its daemon, or the disk was full."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from retaild.runtime.state import State


def is_dead(run: Mapping[str, Any]) -> bool:
    """Whether a row of `job_run` is not over although nobody works on it.

    What is queued without a process is the daemon's to start.
    """
    unclaimed = run["state"] == "queued" and not run["pid"]
    over = run["state"] not in ("queued", "running")
    return not (over or unclaimed or (run["pid"] and os.path.exists(f"/proc/{run['pid']}")))


def bury(state: State, run_id: int) -> None:
    """Let the job run again."""
    error = "Its process ended without a word: it was killed, or the disk was full."
    state.save_run(run_id, state="killed", finished=time.time(), error=error)


def bury_dead(state: State, job: str) -> None:
    for run in state.runs(job=job):
        if is_dead(run):
            bury(state, run["id"])
