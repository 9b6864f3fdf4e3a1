"""Exit codes that scripts may rely on, and errors in the words of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError

OK = 0
FAILURE = 1
USAGE = 2
NOT_RUNNING = 3
FAULTS = 4
NOT_FOUND = 5
BUSY = 6
INTERRUPTED = 130

HELP = """\b
Exit codes:
  0  it worked
  1  it failed
  2  the command line is wrong
  3  retaild is not running, or does not answer
  4  the configuration has faults
  5  there is no such thing
  6  it is busy; try again later
  130  interrupted
"""

#: Error key (or its part before a dot, or its end after one) -> exit code.
_BY_KEY = {
    "daemon.not_running": NOT_RUNNING,
    "daemon.no_answer": NOT_RUNNING,
    "api.unreachable": NOT_RUNNING,
    "config.faults": FAULTS,
    "job.busy": BUSY,
    "job.running": BUSY,
    "job.queue_full": BUSY,
    "daemon.already_running": BUSY,
    "reload.busy": BUSY,
    "registry.busy": BUSY,
    "registry.unknown_version": NOT_FOUND,
    "import.no_source": NOT_FOUND,
    "lake.no_table": NOT_FOUND,
}


def exit_code(error: RetaildError) -> int:
    """The exit code of an error: by its key; `...unknown` and `...not_found` are 5."""
    stated = getattr(error, "exit_code", None)
    if isinstance(stated, int):
        return stated
    if error.key in _BY_KEY:
        return _BY_KEY[error.key]
    last = error.key.rpartition(".")[2]
    return NOT_FOUND if last in ("unknown", "not_found", "no_data") else FAILURE


class NoDataError(RetaildError):
    key = "data.no_data"

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"There is no data directory {root} yet.",
            hint="Make one with `retaildctl init`, or name yours with --data.",
        )


class NotFoundError(RetaildError):
    key = "not_found"

    def __init__(self, what: str, name: object, hint: str = "") -> None:
        super().__init__(f"There is no {what} {name!r}.", hint=hint)


class FailedError(RetaildError):
    """The work itself failed; `details` go into the JSON."""

    key = "failed"

    def __init__(self, message: str, hint: str = "", **details: Any) -> None:
        self.details = details
        super().__init__(message, hint=hint)
