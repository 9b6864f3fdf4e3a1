"""The source: files in, batches of events out, with a position after each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from retaild.api import BuildContext, Position, SourceBatch
from retaild.events import DeadLetter, arrow_schema
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.faults import FileFaultError
from retaild_plugins.sources.tabular.folder import Folder
from retaild_plugins.sources.tabular.letters import LetterWriter
from retaild_plugins.sources.tabular.open_file import OpenFile, settings_digest
from retaild_plugins.sources.tabular.position import FileMark, Ledger

#: So many files are read before the folder is looked through again: that costs the more, the more
#: files it holds.
_READY = 100


class TabularSource:
    """Reads the files of a path one after the other, each from where it was left."""

    def __init__(self, config: TabularConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._digest = settings_digest(config)
        self._ledger = Ledger(None)
        self._folder = Folder(config)
        self._current: OpenFile | None = None
        #: Name and inode of files to be read next.
        self._ready: deque[tuple[str, int]] = deque()
        #: For each batch that is not known to be durable: the file that ended with it, or "".
        self._unconfirmed: deque[str] = deque()

    def open(self, position: Position | None) -> None:
        """Raises MissingPathError (the host tries again)."""
        self._ledger = Ledger(position)
        self._unconfirmed.clear()
        self._ready.clear()
        self._folder.open()
        if self._deletes:
            # Those of which a killed process could not hear any more that they are durable.
            for name in self._folder.files():
                self._delete_if_done(name)

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None

    def poll(self) -> SourceBatch | None:
        """The next batch of the current file, else of the next file that is ready."""
        if self._current is None or self._current.finished:
            name = self._next_name()
            if name is None:
                return None
            try:
                self._open(name)
            except FileFaultError as fault:
                return self._unopened(name, fault)
        assert self._current is not None
        return self._read(self._current)

    def confirmed(self, position: Position) -> None:
        """Delete the file that ended with this batch, if it is to be deleted."""
        name = self._unconfirmed.popleft()
        if name and self._deletes:
            self._delete_if_done(name)

    def parse(self, dead_letter: DeadLetter) -> SourceBatch:
        """The events of a refused row under the settings of now."""
        return self.parse_many([dead_letter])

    def parse_many(self, letters: Sequence[DeadLetter]) -> SourceBatch:
        """As `parse`, for many at once: equal lines among them get their numbers.

        What is still refused comes back with its old id and the new reason.
        """
        from retaild_plugins.sources.tabular.replay import parse_letters

        return parse_letters(self._config, self._context, letters)

    def _next_name(self) -> str | None:
        """The first file, by name, with something new in it that is not being written."""
        while self._ready:
            name, inode = self._ready.popleft()
            status = self._folder.status(name)
            if status and status.st_ino == inode and self._folder.settled(name, status):
                return name
        files = self._folder.files()
        self._ledger.follow_renames(files)
        pending = [name for name, status in files.items() if self._is_new(name, status)]
        self._ledger.forget(files, pending)
        settled = (name for name in pending if self._folder.settled(name, files[name]))
        found = islice(settled, _READY)
        self._ready.extend((name, files[name].st_ino) for name in found)
        return self._ready.popleft()[0] if self._ready else None

    def _is_new(self, name: str, status: os.stat_result) -> bool:
        mark = self._ledger.find(name)
        if mark is None:
            return self._folder.single or not self._ledger.has_forgotten(status)
        if mark.fault and mark.fault != self._digest:
            return True
        return not (mark.done and mark.unchanged(status))

    def _open(self, name: str) -> None:
        """Make the file current; the one that is current already is read on if it has grown."""
        current = self._current
        if current is not None and current.name == name:
            with suppress(OSError):
                if current.grown(os.stat(self._folder.path(name))):
                    current.finished = False
                    return
        self.close()
        file = self._folder.open_file(name)
        mark = self._ledger.find(name)
        self._current = OpenFile(name, file, mark, self._config, self._context)

    def _read(self, file: OpenFile) -> SourceBatch:
        batch = file.next_batch()
        self._ledger.mark(file.name, file.mark)
        self._unconfirmed.append(file.name if file.finished else "")
        return replace(batch, position=self._ledger.position())

    def _unopened(self, name: str, fault: FileFaultError) -> SourceBatch:
        """A file that may not or cannot be opened is remembered by its status alone."""
        status = os.lstat(self._folder.path(name))
        with suppress(OSError):
            status = os.stat(self._folder.path(name))
        mark = FileMark(
            status.st_ino, status.st_size, status.st_mtime_ns, "", done=True, fault=self._digest
        )
        self._ledger.mark(name, mark)
        moment = datetime.fromtimestamp(status.st_mtime, UTC)
        store = self._config.store or self._context.store
        family = self._config.family
        letter = LetterWriter(self._context.instance, store, family, name, moment).whole(fault)
        nothing = arrow_schema(family).empty_table()
        self._unconfirmed.append("")
        return SourceBatch(family, nothing, self._ledger.position(), (letter,), label=name)

    @property
    def _deletes(self) -> bool:
        return self._config.delete_finished and not self._folder.single

    def _delete_if_done(self, name: str) -> None:
        """Not if it has grown since: then there is more to read."""
        mark = self._ledger.find(name)
        with suppress(OSError):
            if (
                mark is None
                or not mark.done
                or not mark.unchanged(os.stat(self._folder.path(name)))
            ):
                return
            if self._current is not None and self._current.name == name:
                self.close()
            self._folder.delete(name)
