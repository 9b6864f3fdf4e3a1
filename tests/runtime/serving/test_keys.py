"""The keys are the same in Python, numpy and DuckDB."""

from __future__ import annotations

import duckdb
import numpy as np

from retaild.runtime.serving.keys import KeySet, key, line_key, line_keys, receipt_key, receipt_keys

TEXTS = ["", "a", "12345", "é|ß", "x" * 300]


def test_duckdb_makes_the_same_keys() -> None:
    with duckdb.connect() as connection:
        for text in TEXTS:
            found = connection.execute("SELECT md5_number_lower(?)", [text]).fetchall()
            assert found == [(key(text),)]


def test_numpy_combines_keys_alike() -> None:
    numbers = np.array([key(text) for text in TEXTS], np.uint64)
    shifted, again = np.roll(numbers, 1), np.roll(numbers, 2)
    lines, receipts = line_keys(numbers, shifted, again), receipt_keys(numbers, shifted)
    for at in range(len(TEXTS)):
        triple = int(numbers[at]), int(shifted[at]), int(again[at])
        assert int(lines[at]) == line_key(*triple)
        assert int(receipts[at]) == receipt_key(*triple[:2])


def test_a_set_of_keys() -> None:
    keys = KeySet(np.sort(np.array([key("a"), key("b")], np.uint64)))
    assert key("a") in keys
    assert key("c") not in keys
    assert not keys.add(key("b"))
    assert keys.add(key("c"))
    assert not keys.add(key("c"))
    assert len(keys) == 3
