"""Running a job from the command line: by the daemon, or without one in a process of our own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retaild.cli.exits import FailedError
from retaild.cli.session import Session
from retaild.runtime.control import NotRunningError

if TYPE_CHECKING:
    from retaild.runtime.state import State

#: Pause between two looks at a run's progress.
POLL_SECONDS = 0.1


def run_job(
    session: Session,
    name: str,
    arguments: dict[str, str],
    *,
    wait: bool = True,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Run a job and return its row in the state; finished, if `wait`.

    `before`: for the audit log, what the job is to change. Without a running daemon it always
    waits. Raises what the daemon refuses (unknown, busy).
    """
    try:
        answer = session.daemon("run-job", job=name, arguments=arguments, trigger="command")
        after = {"run": answer["run_id"], **arguments}
        session.record("job.run", name, before=before, after=after)
    except NotRunningError:
        session.record("job.run", name, before=before, after=arguments)
        return _run_here(session, name, arguments)
    run_id = int(answer["run_id"])
    if not wait:
        return session.state.run(run_id) or {}
    with bar(session, name) as drawn:
        while True:
            run = session.state.run(run_id) or {}
            if run["state"] not in ("queued", "running"):
                return run
            drawn.show(run)
            time.sleep(POLL_SECONDS)


def _run_here(session: Session, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    """Without a daemon: a child process that does just this run."""
    context = session.context()
    state = context.state
    kind = context.settings.job[name].kind if name in context.settings.job else name
    _refuse_unknown(name, kind, list(context.settings.job))
    _bury(state, name)
    before = {row["id"] for row in state.runs(job=name, limit=1)}
    words = [sys.executable, "-m", "retaild.runtime.job", name, "--data", str(context.data.root)]
    words += ["--config", str(session.config_file)] if session.config_file else []
    for key, value in arguments.items():
        words += ["--argument", f"{key}={value}"]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)  # fmt: skip
    run: dict[str, Any] | None = None
    with bar(session, name) as drawn:
        while child.poll() is None:
            run = next((r for r in state.runs(job=name, limit=1) if r["id"] not in before), None)
            drawn.show(run or {})
            time.sleep(POLL_SECONDS)
    said = child.communicate()[1].strip()
    run = next((r for r in state.runs(job=name, limit=1) if r["id"] not in before), None)
    if run is None:
        raise FailedError(said.splitlines()[-1] if said else f"Job {name!r} did not start.")
    if run["state"] in ("queued", "running"):
        error = "Its process ended without a result."
        state.save_run(run["id"], state="killed", finished=time.time(), error=error)
        run = state.run(run["id"]) or run
    return run


def _bury(state: State, name: str) -> None:
    """A run whose process was killed together with who watched it would block the job for ever."""
    for run in state.runs(job=name, state="running"):
        if not run["pid"] or not Path(f"/proc/{run['pid']}").exists():
            error = "Its process was killed."
            state.save_run(run["id"], state="killed", finished=time.time(), error=error)


def _refuse_unknown(name: str, kind: str, configured: list[str]) -> None:
    from retaild.runtime.jobs import JOBS
    from retaild.runtime.runner import UnknownJobError

    if kind not in JOBS:
        raise UnknownJobError(name, sorted({*configured, *JOBS}))


class Bar:
    """A line that is drawn over while a job runs."""

    def __init__(self, name: str, visible: bool) -> None:
        self._name, self._visible, self._drawn, self._next = name, visible, 0, 0.0

    def show(self, run: dict[str, Any]) -> None:
        if not self._visible or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + POLL_SECONDS / 2
        done = float(run.get("progress") or 0.0)
        full = round(done * 30)
        text = f"{self._name} [{'#' * full}{'-' * (30 - full)}] {done * 100:3.0f} %"
        line = f"{text}  {run.get('text') or run.get('state') or ''}"[:110]
        click.echo("\r" + line.ljust(self._drawn), nl=False, err=True)
        self._drawn = len(line)

    def clear(self) -> None:
        if self._drawn:
            click.echo("\r" + " " * self._drawn + "\r", nl=False, err=True)


@contextmanager
def bar(session: Session, name: str) -> Iterator[Bar]:
    """On standard error, and only for people: a pipe or --json shows none."""
    progress = Bar(name, sys.stderr.isatty() and not session.json)
    try:
        yield progress
    finally:
        progress.clear()
