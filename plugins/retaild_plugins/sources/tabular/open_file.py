"""One file while it is read: from where it was left, in batches."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import BinaryIO

import pyarrow as pa

from retaild.api import BuildContext, SourceBatch
from retaild.events import DeadLetter, arrow_schema
from retaild.events.ids import content_ids, with_occurrences
from retaild_plugins.sources.tabular.chunk import Chunk
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.delimited import TextReader
from retaild_plugins.sources.tabular.faults import FileFaultError
from retaild_plugins.sources.tabular.letters import LetterWriter
from retaild_plugins.sources.tabular.mapping import RowMapping
from retaild_plugins.sources.tabular.occurrences import Occurrences
from retaild_plugins.sources.tabular.position import FileMark, mark_of
from retaild_plugins.sources.tabular.readers import Reader, check_columns, reader_of


class OpenFile:
    """Reads on after `mark` if it is of this file, else from the beginning.

    A file that was read in part is read again from its beginning, without giving the rows out: the
    numbers of its equal lines are counted over the whole file.
    """

    def __init__(
        self,
        name: str,
        file: BinaryIO,
        mark: FileMark | None,
        config: TabularConfig,
        context: BuildContext,
    ) -> None:
        self.name = name
        self.finished = False
        self._file, self._config, self._context = file, config, context
        moment = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        self._letters = LetterWriter(
            context.instance, config.store or context.store, config.family, name, moment
        )
        self._occurrences = Occurrences(context.state_dir)
        self._reader: Reader | None = None
        self._rows = 0
        self._left = mark
        self.mark = mark_of(file)
        self._skip = 0

    def close(self) -> None:
        self._file.close()

    def grown(self, status: os.stat_result) -> bool:
        """Whether it was read to its end and is the same file, only longer, now."""
        reader = self._reader
        return (
            self.finished
            and isinstance(reader, TextReader)
            and not reader.packed
            and not self.mark.fault
            and status.st_ino == self.mark.inode
            and self.mark.continues(self._file, growing=True)
        )

    def next_batch(self) -> SourceBatch:
        """The next rows; a whole-file fault comes as a batch with one dead letter."""
        try:
            return self._next_rows()
        except FileFaultError as fault:
            self.finished = True
            digest = settings_digest(self._config)
            self.mark = mark_of(self._file, rows=self._rows, done=True, fault=digest)
            return self._batch(self._nothing(), (self._letters.whole(fault),))

    def _next_rows(self) -> SourceBatch:
        reader = self._reader or self._begin()
        while (chunk := reader.next_chunk()) is not None:
            self._rows += chunk.count
            batch = self._events(chunk, reader)
            if chunk.last:
                self._end(reader)
            elif self._rows <= self._skip:
                continue
            else:
                self.mark = replace(self.mark, rows=self._rows)
            return batch
        self._end(reader)
        return self._batch(self._nothing(), ())

    def _begin(self) -> Reader:
        mapping = RowMapping(self._config, self._context)
        reader = reader_of(self._file, self.name, self._config, mapping)
        typed = not isinstance(reader, TextReader)
        self._mapping = RowMapping(self._config, self._context, typed=True) if typed else mapping
        check_columns(reader, mapping, self.name)
        growing = isinstance(reader, TextReader) and not reader.packed
        if self._left is not None and self._left.continues(self._file, growing):
            self._skip = self._left.rows
            self.mark = replace(self.mark, rows=self._skip)
        self._reader = reader
        return reader

    def _events(self, chunk: Chunk, reader: Reader) -> SourceBatch:
        table, rows, refused = self._mapping.apply(chunk)
        ids = content_ids(self._config.family, table)
        ids = with_occurrences(ids, self._occurrences.count(ids))
        table = table.set_column(0, table.schema.field(0), ids)
        if self._rows - chunk.count < self._skip:
            new = rows > self._skip
            table, rows = table.filter(pa.array(new)), rows[new]
            refused = [item for item in refused if item.row > self._skip]
        form = reader.row_format if refused else ""
        letters = tuple(self._letters.row(item, form) for item in refused)
        return replace(self._batch(table, letters), rows=rows)

    def _end(self, reader: Reader) -> None:
        """Read to the end as it is now."""
        self.finished = True
        growing = isinstance(reader, TextReader) and not reader.packed
        size = reader.consumed if growing else None
        self.mark = mark_of(self._file, size, rows=max(self._rows, self._skip), done=True)

    def _batch(self, events: pa.Table, letters: tuple[DeadLetter, ...]) -> SourceBatch:
        total = self._reader.total() if self._reader is not None else self._rows
        return SourceBatch(
            self._config.family, events, {}, letters, self._rows, max(total, self._rows), self.name
        )

    def _nothing(self) -> pa.Table:
        return arrow_schema(self._config.family).empty_table()


def settings_digest(config: TabularConfig) -> str:
    return hashlib.blake2b(config.model_dump_json().encode(), digest_size=8).hexdigest()
