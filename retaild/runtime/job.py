"""A job's process: `python -m retaild.runtime.job NAME --run-id ID --data DIR [--config FILE]`.

Runs one job at low priority with bounded memory and writes its progress, result or error to the
state. It never outlives the daemon that started it.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError, TransientError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.registry import PluginRegistry
from retaild.runtime import logs
from retaild.runtime.context import JobContext, surroundings
from retaild.runtime.dead_runs import bury_dead
from retaild.runtime.job_limits import LIMIT_ARGUMENTS, Limits, peak_mib
from retaild.runtime.job_lock import JobRunningError, job_lock, work_name
from retaild.runtime.jobs import job_kind
from retaild.runtime.process import bind_to_parent
from retaild.runtime.state import State

#: Exit codes: it failed for good; it may work later; the configuration is wrong (both as in
#: sysexits.h); it was told to stop (128 + SIGTERM).
EXIT_FAILED = 1
EXIT_TRY_LATER = 75
EXIT_CONFIG = 78
EXIT_STOPPED = 143

#: Seconds between two writes of the progress.
PROGRESS_INTERVAL = 0.25

_log = logging.getLogger("retaild.job")


class JobStopped(BaseException):
    """Raised in the main thread by SIGTERM: nothing that handles errors shall swallow it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the job and return the exit code. Redirects this process's output to the run's log."""
    bind_to_parent()
    options = _options(arguments)
    try:
        settings, data = surroundings(options.config, options.data)
    except RetaildError as problem:
        print(" ".join(str(problem).split()), file=sys.stderr)
        return EXIT_CONFIG
    state = State(data.state_db)
    name, kind, chosen = resolve(options, settings, state)
    run_id = options.run_id or _requested(state, name, kind, chosen)
    if run_id is None:
        print(JobRunningError(name, ""), file=sys.stderr)
        return EXIT_TRY_LATER
    _redirect(data.job_log(run_id))
    logs.set_up(settings.retaild.log_level)
    faulthandler.enable()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopper(stop))
    return run_job(name, run_id, kind, chosen, settings, data, state, stop)


def _requested(state: State, name: str, kind: str, arguments: Mapping[str, str]) -> int | None:
    """A new run; None while another one is at work."""
    bury_dead(state, name)
    return state.request_run(name, kind, arguments, trigger="command", pid=os.getpid())


def resolve(
    options: argparse.Namespace, settings: Settings, state: State
) -> tuple[str, str, dict[str, str]]:
    """Name, kind and arguments: of the queued run if there is one, else as configured.

    Arguments given on the command line come on top.
    """
    given = dict(options.argument)
    run = state.run(options.run_id) if options.run_id else None
    if run is not None:
        return run["job"], run["kind"], {**run["arguments"], **given}
    section = settings.job.get(options.name)
    if section is None:
        return options.name, options.name, given
    return options.name, section.kind, {**section.arguments, **given}


def run_job(
    name: str,
    run_id: int,
    kind: str,
    arguments: Mapping[str, str],
    settings: Settings,
    data: DataDir,
    state: State,
    stop: threading.Event,
) -> int:
    """Do the work in this process and record how it went; the exit code."""
    started = time.time()
    state.save_run(run_id, state="running", started=started, pid=os.getpid(), progress=0.0)
    progress = Progress(state, run_id)
    try:
        entry = job_kind(kind)
        Limits.of(kind, arguments).apply()
        own = {key: value for key, value in arguments.items() if key not in LIMIT_ARGUMENTS}
        context = JobContext(
            name, settings, data, PluginRegistry.load(data), state, stop, run_id, progress, own
        )
        _log.info("job %s starts (run %d, kind %s, arguments %s)", name, run_id, kind, own)
        with job_lock(data, work_name(kind, own)):
            result = entry.load()(context)
    except JobStopped:
        return _end(state, run_id, "killed", "It was told to stop.", EXIT_STOPPED)
    except RetaildError as problem:
        _log.error("job %s failed: %s", name, problem, exc_info=problem.__cause__ is not None)
        later = isinstance(problem, TransientError)
        code = EXIT_TRY_LATER if later else EXIT_FAILED
        return _end(state, run_id, "failed", str(problem), code)
    except Exception as problem:
        _log.exception("job %s failed", name)
        return _end(state, run_id, "failed", _unforeseen(problem), EXIT_FAILED)
    seconds = time.time() - started
    figures = {"seconds": round(seconds, 3), "peak_memory_mib": round(peak_mib(), 1)}
    state.save_run(
        run_id, state="succeeded", finished=time.time(), progress=1.0, text=_last_words(result),
        result={**result, **figures},
    )  # fmt: skip
    _log.info("job %s has finished after %.1f s (%.0f MiB)", name, seconds, peak_mib())
    return 0


def _last_words(result: Mapping[str, Any]) -> str:
    """`waits_for` of a result: step -> what it waits for, in a shop that is new."""
    waits: Mapping[str, str] = result.get("waits_for", {})
    said = " ".join(f"{step}: {why}" for step, why in waits.items())
    return f"done, as far as there is data. {said}" if said else "done"


def _unforeseen(problem: BaseException) -> str:
    """Who cleans up without memory fails too: what came first counts."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "It needed more memory than it may take. Raise the job's argument memory_mib."
        cause = cause.__cause__ or cause.__context__
    return f"{type(problem).__name__}: {problem}. The log has the details."


class Progress:
    """Called with the fraction done and what is being done; writes to the state now and then."""

    def __init__(self, state: State, run_id: int) -> None:
        self._state = state
        self._run_id = run_id
        self._text = ""
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self, fraction: float, text: str) -> None:
        with self._lock:
            now = time.monotonic()
            if text != self._text:
                _log.info("%3.0f %% %s", fraction * 100, text)
                self._text = text
            elif now < self._next:
                return
            self._next = now + PROGRESS_INTERVAL
            done = min(max(fraction, 0.0), 1.0)
            self._state.save_run(self._run_id, progress=done, text=text)


def _end(state: State, run_id: int, outcome: str, error: str, code: int) -> int:
    state.save_run(run_id, state=outcome, finished=time.time(), error=error)
    return code


def _stopper(stop: threading.Event) -> Callable[[int, Any], None]:
    def told(_number: int, _frame: Any) -> None:
        if not stop.is_set():
            stop.set()
            raise JobStopped

    return told


def _redirect(path: Path) -> None:
    """Everything printed from here on, by native code too, goes to the end of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="retaild.runtime.job")
    parser.add_argument("name", help="a configured job, or a kind of job")
    parser.add_argument("--run-id", type=int, help="a queued run; a new one when left out")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--argument", action="append", default=[], type=_pair, metavar="KEY=VALUE")
    return parser.parse_args(arguments)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
