"""The set of hashes against Python's own set."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retaild.pipeline.idset import HashSet

hashes = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 50), max_size=40)


@given(st.lists(hashes, max_size=12), hashes)
def test_it_holds_what_was_added(batches: list[list[int]], asked: list[int]) -> None:
    known: set[int] = set()
    mine = HashSet()
    for batch in batches:
        mine.add(np.array(sorted(batch), np.uint64))
        known |= set(batch)
    question = sorted([*asked, *(value for batch in batches for value in batch[:3])])
    assert mine.contains(np.array(question, np.uint64)).tolist() == [v in known for v in question]


def test_runs_stay_few() -> None:
    """A thousand small additions: eight bytes a hash, in a handful of runs."""
    mine = HashSet()
    random = np.random.default_rng(1)
    for _ in range(1000):
        mine.add(np.sort(random.integers(0, 2**63, 100).astype(np.uint64)))
    assert len(mine) == 100_000
    assert len(mine._runs) <= 6
