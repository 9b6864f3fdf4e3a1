"""The files that the job has finished, in the order of the log."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retaild.pipeline.carry.carrier import Piece
from retaild.pipeline.entries import MicroBatch
from retaild.pipeline.streams import OFFSET
from retaild.pipeline.window_values import WindowValue
from retaild_plugins.cluster.flink.staged import COLUMN, Staged, StagedWindows, unpacked

#: Flink's names: a file that is being written begins with a dot.
_FINISHED = "part-*"
#: Of a checkpoint's files a later one may be seen first, for moments.
_GAP_SECONDS = 5.0


class GapError(Exception):
    """What comes next is not there and will not come: it has to be read from the log again."""


@dataclass
class Staging:
    """One job's files. A file is removed when the lake's progress is behind its last entry.

    Which rows are in the lake is never told by the files' names: the lake's own log offset says it.
    So the tables may be compacted and vacuumed as one likes, and a file that is read twice, or one
    of an older job, changes nothing.
    """

    folder: Path
    start: int
    #: File -> the log offset behind it, of those that have been read.
    _known: dict[Path, int] = field(default_factory=dict)
    _gap_since: float | None = None

    def take(self, offset: int, max_rows: int) -> Piece | None:
        """Events from `offset` on, about `max_rows` of them; None while there are none.

        Raises GapError.
        """
        chosen = _Chosen(offset)
        rows, until = 0, offset
        for path in sorted(self.folder.glob(_FINISHED), key=_number):
            if self._known.get(path, offset + 1) <= offset:
                continue
            contents = self._contents(path)
            # What windows come to is in the file of the rows that they come to it with.
            chosen.windows += [own for own in contents if isinstance(own, StagedWindows)]
            for staged in contents:
                if isinstance(staged, StagedWindows) or staged.until <= until:
                    continue
                if staged.first > until and until != self.start:
                    return self._before_gap(chosen, f"{until} to {staged.first - 1}")
                chosen.staged.append(staged)
                until = staged.until
                rows += sum(table.num_rows for table in staged.batch.tables.values())
            if rows >= max_rows:
                break
        self._gap_since = None
        return chosen.joined()

    def forget(self, offset: int) -> None:
        """Everything below the offset is in all tables."""
        for path, until in list(self._known.items()):
            if until <= offset:
                path.unlink(missing_ok=True)
                del self._known[path]

    def _before_gap(self, chosen: _Chosen, entries: str) -> Piece | None:
        """A file may show a moment before the one before it; a gap that stays is one."""
        now = time.monotonic()
        self._gap_since = self._gap_since or now
        if now - self._gap_since > _GAP_SECONDS:
            raise GapError(f"Flink's files lack the log entries {entries}")
        return chosen.joined()

    def _contents(self, path: Path) -> list[Staged | StagedWindows]:
        """Raises GapError for a file that was lost or torn (by a power cut, say)."""
        try:
            column = pq.read_table(path, columns=[COLUMN])[COLUMN]
            found = [unpacked(value.as_py()) for value in column]
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise GapError(f"{path.name} cannot be read: {error}") from error
        ends = (staged.until for staged in found if isinstance(staged, Staged))
        self._known[path] = max(ends, default=0)
        return found


def _number(path: Path) -> int:
    """Flink counts the files of a job, over its restarts too."""
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


@dataclass
class _Chosen:
    """What is taken at once, of the log from `offset` on."""

    offset: int
    staged: list[Staged] = field(default_factory=list)
    windows: list[StagedWindows] = field(default_factory=list)

    def joined(self) -> Piece | None:
        if not self.staged:
            return None
        windows: dict[str, list[WindowValue]] = {}
        for window in self.windows:
            windows.setdefault(window.family, []).extend(window.values)
        rows = max(one.rows for one in self.staged)
        return Piece(self._batch(), self.staged[-1].until, rows, windows)

    def _batch(self) -> MicroBatch:
        tables: dict[str, list[pa.Table]] = {}
        for one in self.staged:
            for family, table in one.batch.tables.items():
                if one.first < self.offset:
                    table = table.filter(pc.greater_equal(table[OFFSET], self.offset))
                tables.setdefault(family, []).append(table)
        letters = [letter for one in self.staged for letter in one.batch.letters]
        return MicroBatch(
            {family: pa.concat_tables(parts) for family, parts in tables.items()},
            [letter for letter in letters if letter.offset >= self.offset],
        )
