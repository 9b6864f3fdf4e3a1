"""Step Dedup: the first row of each key, for all time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from retaild.api import Lake
from retaild.pipeline.idset import Hashes, HashSet

#: Every event has it; files of the table are skipped by it.
_TIME = "event_time"


@dataclass(frozen=True, slots=True)
class Fresh:
    """Rows that the table does not have, and their hashes (sorted) for `Deduplicator.remember`."""

    rows: pa.Table
    hashes: Hashes
    duplicates: int

    @classmethod
    def all_of(cls, rows: pa.Table) -> Fresh:
        return cls(rows, np.empty(0, np.uint64), 0)


class Deduplicator:
    """Knows the keys of one table by their hashes; what looks known is looked up in the table.

    So a row is only ever left out because its very key is there, never because two keys share a
    hash. Memory: 8 bytes a row of the table.
    """

    def __init__(
        self, lake: Lake, table: str, key: str, hashes: Callable[[pa.ChunkedArray], Hashes]
    ) -> None:
        self._lake, self._table, self._key, self._hash = lake, table, key, hashes
        self._known = HashSet()

    def load(self) -> None:
        """Learn the keys that the table has. A second for some ten million rows."""
        self._known = HashSet()
        if not self._lake.exists(self._table):
            return
        batches = self._lake.dataset(self._table).to_batches(columns=[self._key])
        runs = [self._hash(pa.chunked_array([batch.column(0)])) for batch in batches]
        if runs:
            everything = np.concatenate(runs)
            everything.sort()
            self._known.add(everything)

    def fresh(self, rows: pa.Table) -> Fresh:
        """Leave out what the table has, and repeats within `rows`."""
        hashes = self._hash(rows[self._key])
        ascending = np.sort(hashes)
        known = self._known.contains(ascending)
        repeated = np.zeros_like(known)
        repeated[1:] = ascending[1:] == ascending[:-1]
        if not (known.any() or repeated.any()):
            return Fresh(rows, ascending, 0)
        maybe_there = np.isin(hashes, ascending[known])
        doubtful = maybe_there | np.isin(hashes, ascending[repeated])
        there = self._present(rows.filter(pa.array(maybe_there)))
        kept = self._first_of_each(rows, doubtful, there)
        chosen = rows.filter(pa.array(kept))
        return Fresh(chosen, np.sort(hashes[kept]), rows.num_rows - chosen.num_rows)

    def remember(self, hashes: Hashes) -> None:
        """The fresh rows are in the table now."""
        self._known.add(hashes)

    def _first_of_each(
        self, rows: pa.Table, doubtful: NDArray[np.bool_], there: set[str]
    ) -> NDArray[np.bool_]:
        """Which rows to keep, by the keys themselves where the hash leaves doubt."""
        kept = ~doubtful
        places = np.flatnonzero(doubtful)
        keys = rows[self._key].take(pa.array(places)).to_pylist()
        for place, key in zip(places.tolist(), keys, strict=True):
            kept[place] = key not in there
            there.add(key)
        return kept

    def _present(self, rows: pa.Table) -> set[str]:
        """Which of the rows' keys the table has."""
        if not rows.num_rows or not self._lake.exists(self._table):
            return set()
        dataset = self._lake.dataset(self._table)
        keys = rows[self._key].combine_chunks()
        span = pc.min_max(rows[_TIME]).as_py()
        near = (ds.field(_TIME) >= span["min"]) & (ds.field(_TIME) <= span["max"])
        # A repeat mostly has the time of the first: that skips most files. The rest of the keys
        # is looked for everywhere.
        found = self._scan(dataset, keys, near)
        missing = keys.filter(pc.invert(pc.is_in(keys, found)))
        rest = self._scan(dataset, missing, None) if len(missing) else found
        return set(found.to_pylist()) | set(rest.to_pylist())

    def _scan(
        self, dataset: ds.Dataset, keys: pa.Array, where: ds.Expression | None
    ) -> pa.ChunkedArray:
        wanted = ds.field(self._key).isin(keys)
        condition = wanted if where is None else where & wanted
        return dataset.to_table(columns=[self._key], filter=condition)[self._key]
