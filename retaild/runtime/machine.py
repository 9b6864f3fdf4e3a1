"""What the machine has."""

from __future__ import annotations

import os


def memory_mib() -> float:
    """All of its memory, without swap."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
