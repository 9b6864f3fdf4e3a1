"""Settings as they are now, for a process that a reload left alone because it does not use them."""

from __future__ import annotations

from pathlib import Path

from retaild.config.active import ActiveStore
from retaild.config.faults import ConfigFaultsError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings, load_settings


class LiveSettings:
    """For showing the whole configuration: a page of sources is the server's, its sources are not.

    What a process works by stays as it was when the process began.
    """

    def __init__(self, data: DataDir, own: Settings) -> None:
        self._path, self._root = ActiveStore(data).path, data.root
        self._now, self._mark = own, _mark(self._path)

    def now(self) -> Settings:
        """Of the configuration in force; costs a look at a file's time."""
        mark = _mark(self._path)
        if mark != self._mark:
            try:
                self._now, self._mark = load_settings(self._path, self._root), mark
            except ConfigFaultsError:  # somebody was at it by hand: what was known counts
                self._mark = mark
        return self._now


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
