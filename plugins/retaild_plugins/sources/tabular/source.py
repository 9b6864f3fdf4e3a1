"""The source: files in, batches of events out, with a position after each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from retaild.api import BuildContext, Position, SourceBatch
from retaild.events import DeadLetter, arrow_schema
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.faults import FileFaultError
from retaild_plugins.sources.tabular.folder import Folder
from retaild_plugins.sources.tabular.letters import LetterWriter
from retaild_plugins.sources.tabular.open_file import OpenFile, settings_digest
from retaild_plugins.sources.tabular.position import FileMark, Ledger


class TabularSource:
    """Reads the files of a path one after the other, each from where it was left."""

    def __init__(self, config: TabularConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._digest = settings_digest(config)
        self._ledger = Ledger(None)
        self._folder = Folder(config)
        self._current: OpenFile | None = None
        self._deletable: list[str] = []

    def open(self, position: Position | None) -> None:
        """Raises MissingPathError (the host tries again)."""
        self._ledger = Ledger(position)
        self._folder.open()

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None

    def poll(self) -> SourceBatch | None:
        """The next batch of the current file, else of the next file that is ready."""
        self._delete_finished()
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
        files = self._folder.files()
        self._ledger.follow_renames(files)
        pending = [name for name, status in files.items() if self._is_new(name, status)]
        self._ledger.forget(files, pending)
        return next((name for name in pending if self._folder.settled(name, files[name])), None)

    def _is_new(self, name: str, status: os.stat_result) -> bool:
        mark = self._ledger.find(name)
        if mark is None:
            return self._folder.single or status.st_ctime_ns > self._ledger.before
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
        if file.finished and self._config.delete_finished and not self._folder.single:
            self._deletable.append(file.name)
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
        return SourceBatch(family, nothing, self._ledger.position(), (letter,), label=name)

    def _delete_finished(self) -> None:
        """The host asks for the next batch only when the last one is durable."""
        while self._deletable:
            name = self._deletable.pop()
            if self._current is not None and self._current.name == name:
                self.close()
            with suppress(OSError):
                self._folder.delete(name)
