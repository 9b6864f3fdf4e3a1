"""Who holds a port: for messages that people can act on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def holder(number: int) -> str:
    """The process that listens on a TCP port, as far as this user may see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == number and fields[3] == "0A":
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if inodes & set(_open_files(process)):
                name = (process / "comm").read_text().strip()
                return f"Process {process.name} ({name})"
    return ""


def _open_files(process: Path) -> Iterator[str]:
    """What a process has open; a file that is closed meanwhile hides no other."""
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(descriptor)
