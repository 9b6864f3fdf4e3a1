"""Which code a job runs: its own, and what of retaild it imports in the TaskManager."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import retaild.api
import retaild.events
import retaild.pipeline

_HERE = Path(__file__).parent
#: Modules of this plugin that the job imports; its other ones run in the worker only.
_OWN = (
    "job.py",
    "staged.py",
    "windows.py",
    "aggregates.py",
    "expressions.py",
    "sql_text.py",
)
#: Whole packages, more than the job needs: a job too many costs seconds, an old one wrong rows.
_PACKAGES = (retaild.api, retaild.events, retaild.pipeline)


def files() -> list[Path]:
    """Every source file whose change makes it another job, in a fixed order."""
    found = [_HERE / name for name in _OWN]
    for package in _PACKAGES:
        found += sorted(Path(package.__path__[0]).rglob("*.py"))
    return found


@cache
def fingerprint() -> str:
    """Of the code's bytes as they were when this process first asked.

    Files that are exchanged under a running worker count when it is started again.
    """
    digest = hashlib.sha256()
    for path in files():
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
