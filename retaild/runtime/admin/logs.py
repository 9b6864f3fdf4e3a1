"""Log files of the daemon, the workers and the jobs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from retaild.config.paths import DataDir
from retaild.runtime import logs
from retaild.runtime.admin.errors import UnknownLogError

_LINE = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z) +([A-Z]+) +(.*)", re.DOTALL)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def files(data: DataDir) -> list[str]:
    """Names of the logs (without `.log`): workers first, then runs, newest first."""
    names = [path.stem for path in data.logs.glob("*.log")] if data.logs.is_dir() else []
    runs = sorted((n for n in names if n.startswith("job-")), key=_number, reverse=True)
    return sorted(n for n in names if not n.startswith("job-")) + runs


def read(data: DataDir, name: str, *, level: str = "", lines: int = 200) -> dict[str, Any]:
    """The last lines of a log, oldest first; `level` leaves out those below it.

    An empty `name` gives the names alone. Raises UnknownLogError.
    """
    known = files(data)
    if not name:
        return {"files": known, "lines": []}
    if name not in known:
        raise UnknownLogError(name)
    parsed = _parse(logs.tail(Path(data.logs / f"{name}.log"), lines if not level else lines * 5))
    wanted = _LEVELS[_LEVELS.index(level.upper()) :] if level.upper() in _LEVELS else _LEVELS
    kept = [line for line in parsed if not line["level"] or line["level"] in wanted]
    return {"files": known, "lines": kept[-lines:]}


def _parse(texts: list[str]) -> list[dict[str, Any]]:
    """Lines with time and level; what follows without them (a traceback) takes those before it."""
    found: list[dict[str, Any]] = []
    for text in texts:
        match = _LINE.match(text)
        if match:
            time, level, rest = match.groups()
        else:
            last = found[-1] if found else {"time": None, "level": ""}
            time, level, rest = last["time"], last["level"], text
        found.append({"time": time, "level": level, "text": rest})
    return found


def _number(name: str) -> int:
    digits = name.removeprefix("job-")
    return int(digits) if digits.isdecimal() else 0
