"""What a server prints into a file, passed on to this process's output: the service's log.

The file outlives its readers, and a server never waits for one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Passed on at a time; and a file that has been read is emptied at this size.
CHUNK, EMPTY_AT = 1024 * 1024, 4 * 1024 * 1024


class Printed:
    """Each byte once, over all readers: how far one came is kept in a file beside it."""

    def __init__(self, path: Path, to: int = 1) -> None:
        self._path, self._to = path, to
        self._mark = path.with_name(f"{path.name}.read")
        self._at = _number(self._mark)

    def pass_on(self) -> None:
        """What is new, at most CHUNK bytes."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(self._at if self._at <= size else 0)
                new = file.read(CHUNK)
                at = file.tell()
        except FileNotFoundError:
            return
        while new:
            new = new[os.write(self._to, new) :]
        if at >= size and at >= EMPTY_AT:
            # It appends, so it goes on at the start; a line of this very moment is lost.
            os.truncate(self._path, 0)
            at = 0
        if at != self._at:
            self._at = at
            with suppress(OSError):  # on a full disk lines may come twice
                self._mark.write_text(str(at))


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
