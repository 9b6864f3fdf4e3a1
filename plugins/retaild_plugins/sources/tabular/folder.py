"""Finding files: one, or those of a watched folder; only whole ones, only from within."""

from __future__ import annotations

import fnmatch
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from retaild.api.errors import TransientError
from retaild_plugins.sources.tabular import faults
from retaild_plugins.sources.tabular.config import TabularConfig

#: Names that programs give to files they are still writing.
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")


class MissingPathError(TransientError):
    key = "source.path_missing"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} cannot be read: {why}.", hint="Create it, or correct `path`; it is retried."
        )


class Folder:
    """The files of a configuration's path, in name order."""

    def __init__(self, config: TabularConfig) -> None:
        self._config = config
        self._single = True
        self._sizes: dict[str, tuple[int, int]] = {}

    def open(self) -> None:
        """Raises MissingPathError."""
        try:
            self._single = not stat.S_ISDIR(os.stat(self._config.path).st_mode)
            if not self._single:
                os.scandir(self._config.path).close()
        except OSError as error:
            raise MissingPathError(self._config.path, error.strerror or str(error)) from None

    @property
    def single(self) -> bool:
        return self._single

    def files(self) -> dict[str, os.stat_result]:
        """Name -> status of what is there now. Raises MissingPathError."""
        path = self._config.path
        try:
            if self._single:
                return {path.name: os.stat(path)}
            with os.scandir(path) as entries:
                wanted = [entry for entry in entries if self._wanted(entry.name)]
        except OSError as error:
            raise MissingPathError(path, error.strerror or str(error)) from None
        wanted.sort(key=lambda entry: entry.name)
        found = {}
        for entry in wanted:
            # It may have gone away, or be a link to nowhere.
            with suppress(OSError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    found[entry.name] = status
        return found

    def status(self, name: str) -> os.stat_result | None:
        """Of one file; None if it is gone."""
        with suppress(OSError):
            return os.stat(self.path(name))
        return None

    def _wanted(self, name: str) -> bool:
        if name.startswith(".") or name.lower().endswith(_UNFINISHED):
            return False
        return fnmatch.fnmatchcase(name, self._config.pattern)

    def settled(self, name: str, status: os.stat_result) -> bool:
        """Whether the file has stayed the same for `settle_seconds` (or need not)."""
        if self._config.follow or self._config.settle_seconds == 0:
            return True
        now = (status.st_size, status.st_mtime_ns)
        same = self._sizes.get(name, now) == now
        self._sizes[name] = now
        age = time.time() - status.st_mtime
        # A time stamp in the future tells nothing; then two equal looks must do.
        return same and (age >= self._config.settle_seconds or age < -60)

    def path(self, name: str) -> Path:
        return self._config.path if self._single else self._config.path / name

    def open_file(self, name: str) -> BinaryIO:
        """Open for reading. Raises FileFaultError for links out of the folder and the like."""
        path = self.path(name)
        try:
            real = path.resolve(strict=True)
            if not self._single and real.parent != self._config.path.resolve():
                raise faults.outside(name)
            handle = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise faults.unreadable(name, error.strerror or str(error)) from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise faults.unreadable(name, "it is not a regular file")
        return os.fdopen(handle, "rb")

    def delete(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)
