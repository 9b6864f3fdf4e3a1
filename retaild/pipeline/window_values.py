"""What an engine says that a window comes to, and of which rows: that is what makes it checkable.

A row is known by its key and its log offset, in 64 bits that are the same in every Python; a set of
rows by how many it has and their sum. So whoever holds the rows can tell whether a value that was
computed elsewhere is of exactly these rows, without computing it again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Of the column that holds a row's 64 bits.
IDENTITY = "_identity"

_ODD = 0x9E3779B97F4A7C15
_WRAP = (1 << 64) - 1
#: So many rows are hashed at once: their bytes as numbers take eight times their size.
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class WindowValue:
    """Aggregates of one window and its keys, in the order of the step `Window`, as text.

    They are of `rows` rows whose identities' sum is `digest`; `start` is in epoch us.
    """

    keys: tuple[str | None, ...]
    start: int
    rows: int
    digest: int
    values: tuple[str | None, ...]


def key_hashes(keys: pa.ChunkedArray | pa.Array) -> NDArray[np.uint64]:
    """Of each key, a string that is not null."""
    chunks = keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]
    parts = [
        _hashes(chunk.slice(first, _ROWS).cast(pa.string()))
        for chunk in chunks
        for first in range(0, len(chunk), _ROWS)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def identities(hashes: NDArray[np.uint64], offsets: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Of rows with these keys' hashes at these log offsets."""
    return _mixed(hashes + _mixed(offsets.to_numpy().astype(np.uint64)))


def digest(rows: NDArray[np.uint64]) -> int:
    """Of a set of rows, by their identities; of two sets together it is the sum (`joined`)."""
    return int(rows.sum(dtype=np.uint64))


def joined(one: int, other: int) -> int:
    return (one + other) & _WRAP


def _hashes(keys: pa.StringArray) -> NDArray[np.uint64]:
    """A polynomial of each string's bytes, and its length, well mixed."""
    _, offsets, data = keys.buffers()
    if not len(keys):
        return np.empty(0, np.uint64)
    ends = np.frombuffer(offsets, np.int32)[keys.offset : keys.offset + len(keys) + 1]
    ends = ends.astype(np.int64)
    content = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    ends -= ends[0]
    lengths = np.diff(ends)
    weights = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, _ODD, np.uint64))
    within = np.arange(len(content)) - np.repeat(ends[:-1], lengths)
    terms = (content.astype(np.uint64) + np.uint64(1)) * weights[within]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
    return _mixed(sums[ends[1:]] - sums[ends[:-1]] + lengths.astype(np.uint64))


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finishing steps of SplitMix64 (Steele, Lea, Flood, 2014): each bit sways all others."""
    mixed = numbers + np.uint64(_ODD)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
