"""Log files: plain lines in UTC, bounded in size and number."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import deque
from pathlib import Path

#: A worker's log is put aside at this size; so many old ones are kept.
MAX_BYTES = 5 * 1024 * 1024
KEEP = 3
#: Logs of so many job runs are kept.
KEEP_JOB_LOGS = 200


#: Control characters but tab and newline, and Unicode's own ends of lines.
_WRITTEN_OUT = {
    sign: chr(sign).encode("unicode_escape").decode()
    for sign in (*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029)
}


class UtcFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO    retaild.daemon: text`."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Signs that move a terminal's cursor, or end a line elsewhere, are written out."""
        return super().format(record).translate(_WRITTEN_OUT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """What follows a message's first line is set apart: it cannot pretend to be a record."""
        return super().formatMessage(record).replace("\n", "\n    | ")


def set_up(level: str) -> None:
    """Send the log of this process to its standard error, which the daemon has put to a file."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(UtcFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for chatty in ("apscheduler", "alembic", "httpx", "urllib3", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _OneLineFormatter(UtcFormatter):
    """What follows the first line is set apart: a message cannot pretend to be another one."""

    def format(self, record: logging.LogRecord) -> str:
        first, *further = super().format(record).split("\n")
        return "\n    | ".join([first, *(line.removeprefix("    | ") for line in further)])


def one_line_each() -> None:
    """Where messages may hold a stranger's text: a record is one line, its further ones set in."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_OneLineFormatter())


def put_aside(path: Path, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> bool:
    """Rename a log that has grown too large to `.1`, the earlier ones to `.2`, ...; True if so."""
    try:
        if path.stat().st_size < max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep, 0, -1):
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if newer.exists():
            newer.replace(path.with_name(f"{path.name}.{number}"))
    return True


def rotate(path: Path, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
    """Put this process's own log aside when it is too large, and go on in a new one.

    Works on the file descriptors: what native code and a dying interpreter print stays bounded too.
    """
    if put_aside(path, max_bytes, keep):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        for output in (1, 2):
            os.dup2(descriptor, output)
        os.close(descriptor)


def prune_job_logs(directory: Path, keep: int = KEEP_JOB_LOGS) -> None:
    """Delete the logs of all but the newest runs."""
    numbered = sorted(directory.glob("job-*.log"), key=lambda path: path.stat().st_mtime)
    for path in numbered[:-keep]:
        path.unlink(missing_ok=True)


def tail(path: Path, lines: int = 100) -> list[str]:
    """The last lines of a log; empty if there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - lines * 400))
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except FileNotFoundError:
        return []
