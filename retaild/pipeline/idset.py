"""Which ids a table has, in eight bytes each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

#: A run is merged into the one before it unless that is so many times larger.
_FANOUT = 8


class HashSet:
    """A set of 64-bit hashes: sorted runs, each much larger than the next, merged as they grow.

    Adding costs a few copies of each hash over the set's life; a lookup is a binary search in some
    runs (two or three beside the large one).
    """

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def add(self, ascending: Hashes) -> None:
        """Take in hashes, sorted ascending."""
        if not len(ascending):
            return
        self._runs.append(ascending)
        while len(self._runs) > 1 and len(self._runs[-2]) < _FANOUT * len(self._runs[-1]):
            merged = np.concatenate(self._runs[-2:])
            merged.sort(kind="stable")  # timsort: merging two sorted runs is one pass
            self._runs[-2:] = [merged]

    def contains(self, ascending: Hashes) -> NDArray[np.bool_]:
        """For each of the sorted hashes: is it in the set?"""
        found = np.zeros(len(ascending), np.bool_)
        for run in self._runs:
            place = np.searchsorted(run, ascending)
            place[place == len(run)] = 0
            found |= run[place] == ascending
        return found
