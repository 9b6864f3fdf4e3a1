"""Directories where the host's own packages are, for another environment's Python."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

_OWN = ("retaild", "retaild_plugins")


def host_path() -> list[str]:
    """Of the packages themselves first (they may be a checkout), then of all they need."""
    found: list[str] = []
    for package in _OWN:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            found.append(str(Path(spec.origin).parents[1]))
    found += [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    return list(dict.fromkeys(found))
