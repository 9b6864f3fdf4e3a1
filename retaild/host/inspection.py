"""Asking a process of its own about strangers' plugins, with limits on time and memory."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from retaild.host.environments import Launch

#: Seconds that a process may take for all that it is asked.
LIMIT_SECONDS = 10.0
#: Longest answer about one distribution that is read, in bytes.
MAX_ANSWER = 4 << 20

_PROGRAM = """
import pickle, sys
path, tasks = pickle.load(sys.stdin.buffer)
sys.path[:0] = [entry for entry in path if entry not in sys.path]
from retaild.host.inspect import work
work(tasks)
"""
#: Of the environment only this is passed on: no secret, no setting, but the daemon's mark.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS",
           "OPENBLAS_NUM_THREADS", "RETAILD_DATA_MARK")  # fmt: skip

Message = dict[str, Any]


def ask(launch: Launch, tasks: Sequence[Message]) -> list[Message | str]:
    """Per task its answer, or in half a sentence why there is none.

    All tasks in one process first; those it did not come to, each in a process of its own: one
    bad distribution never hides another. Blocks for `LIMIT_SECONDS` per task, and once more, at
    most.
    """
    answers, why = _run(launch, tasks)
    found: list[Message | str] = list(answers)
    if len(found) < len(tasks) and len(tasks) > 1:
        for task in tasks[len(found) :]:
            alone, why = _run(launch, [task])
            found.append(alone[0] if alone else why)
    elif len(found) < len(tasks):
        found.append(why)
    return found


def _run(launch: Launch, tasks: Sequence[Message]) -> tuple[list[Message], str]:
    """The answers up to the first that failed, and how it failed."""
    command = [str(launch.python or sys.executable), "-I", "-c", _PROGRAM]
    # Another environment's Python has its own path, the host's behind it.
    path = [] if launch.python else [*launch.path, *filter(None, sys.path)]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.DEVNULL,
                env=_environment(), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return [], f"its Python {command[0]} cannot be started: {error.strerror}"
        why = _wait(process, pickle.dumps((path, list(tasks))))
        said.seek(0)
        lines = said.read(MAX_ANSWER * len(tasks)).splitlines()
    return _legible(lines), why or "its process said nothing sensible"


def _wait(process: subprocess.Popen[bytes], job: bytes) -> str:
    try:
        process.communicate(job, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"importing it takes longer than {LIMIT_SECONDS:g} s"
    except OSError:
        pass  # it ended before it had read all: the exit code tells more
    finally:
        # Whatever the plugin started goes too.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return _ended(process.returncode) if process.returncode else ""


def _ended(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"importing it crashes the process ({signal.Signals(-code).name})"
    return f"importing it ends the process (exit code {code})"


def _legible(lines: Sequence[bytes]) -> list[Message]:
    found = []
    for line in lines:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(answer, dict):
            break
        found.append(answer)
    return found


def _environment() -> Mapping[str, str]:
    return {name: os.environ[name] for name in _PASSED if name in os.environ}
