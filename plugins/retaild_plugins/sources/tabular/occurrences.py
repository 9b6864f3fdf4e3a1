"""How often a line has been seen before in the same input."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Fingerprints held in memory (8 bytes each); more go into a file that the kernel pages.
_IN_MEMORY = 8_000_000
_SPREAD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


class Occurrences:
    """Counts equal content ids over all calls, exactly but for a 64-bit fingerprint's collision.

    (A collision gives a line a number it need not have: it stays distinct and deterministic.)
    Eight bytes a row, in sorted runs that are merged as they grow, so a call costs about
    n log n for its own n rows.
    """

    def __init__(self, spill: Path) -> None:
        self._spill = spill
        self._runs: list[NDArray[np.uint64]] = []

    def count(self, ids: pa.Array) -> NDArray[np.int64]:
        """For each id how often it came before, in this call and all earlier ones."""
        marks = _fingerprints(ids)
        order = np.argsort(marks, kind="stable")
        ordered = marks[order]
        earlier = np.zeros(len(marks), np.int64)
        for run in self._runs:
            earlier += np.searchsorted(run, ordered, "right") - np.searchsorted(run, ordered)
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
        lengths = np.diff(np.append(starts, len(ordered)))
        within = np.arange(len(ordered)) - np.repeat(starts, lengths)
        result = np.empty(len(marks), np.int64)
        result[order] = earlier + within
        if len(ordered):
            self._keep(ordered)
        return result

    def _keep(self, run: NDArray[np.uint64]) -> None:
        """Runs of at least half the size are merged, so there are few and each much larger."""
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate((self._runs.pop(), run)), kind="stable")
        if len(run) > _IN_MEMORY:
            run = self._mapped(run)
        self._runs.append(run)

    def _mapped(self, run: NDArray[np.uint64]) -> NDArray[np.uint64]:
        self._spill.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._spill) as file:
            run.tofile(file)
            file.flush()
            return np.memmap(file, np.uint64, "r")


def _fingerprints(ids: pa.Array) -> NDArray[np.uint64]:
    """64 bits of each content id: its first sixteen signs, mixed."""
    if len(ids) == 0:
        return np.empty(0, np.uint64)
    _, offsets, data = ids.buffers()
    ends = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    if np.all(np.diff(ends) == 32):
        words = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].view(np.uint64).reshape(-1, 4)
        mixed: NDArray[np.uint64] = (words[:, :2] * _SPREAD).sum(axis=1, dtype=np.uint64)
        return mixed
    import hashlib

    digests = b"".join(hashlib.blake2b(v.encode(), digest_size=8).digest() for v in ids.to_pylist())
    return np.frombuffer(digests, np.uint64)
