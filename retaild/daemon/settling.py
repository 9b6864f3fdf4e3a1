"""Noticing that configuration files were changed, once they have settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from retaild.config.locate import config_files, locate_config

#: Files are looked at so often; they must be the same for so long before they count.
LOOK_SECONDS = 2.0
SETTLED_SECONDS = 1.0

_Marks = frozenset[tuple[str, int, int, int]]


async def watch_files(config: Path | None, wanted: Callable[[], bool]) -> AsyncIterator[None]:
    """Yield after each change, while `wanted()`; what happens while it is not counts later not."""
    known = marks(config)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = marks(config)
        if not wanted():
            known = now
        elif now != known:
            known = await _settled(config, now)
            yield


async def _settled(config: Path | None, seen: _Marks) -> _Marks:
    """An editor writes in several steps: wait until nothing changes any more."""
    while True:
        await asyncio.sleep(SETTLED_SECONDS)
        now = marks(config)
        if now == seen:
            return now
        seen = now


def marks(config: Path | None) -> _Marks:
    """Name, time of change, size and inode of every file; the missing are left out."""
    found = set()
    for path in config_files(locate_config(config)):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.add((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return frozenset(found)
