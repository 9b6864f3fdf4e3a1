"""Values of windows that an engine has computed: taken for the very rows they are of, only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from retaild.pipeline.carry.given import proven
from retaild.pipeline.steps import Column, Window
from retaild.pipeline.window_values import (
    IDENTITY,
    WindowValue,
    digest,
    identities,
    joined,
    key_hashes,
)

WINDOW = Window(
    "at", timedelta(hours=1), ("store",),
    (Column("lines", "COUNT(*)", "BIGINT"), Column("sum", "SUM(x)", "DECIMAL(18, 2)", True)),
    timedelta(hours=24),
)  # fmt: skip
HOUR = 3_600_000_000


def own(keys: Sequence[str], offsets: Sequence[int]) -> np.ndarray:
    return identities(key_hashes(pa.array(keys)), pa.chunked_array([pa.array(offsets, pa.int64())]))


# -- identities ------------------------------------------------------------------------------------


def test_a_rows_identity_is_the_same_wherever_it_lies() -> None:
    keys = [f"till-{n}-{'x' * (n % 7)}" for n in range(20_000)]
    whole = key_hashes(pa.array(keys))
    pieces = pa.chunked_array([keys[:3], keys[3:9_001], keys[9_001:]])
    assert (key_hashes(pieces) == whole).all()
    assert (key_hashes(pa.array(["", *keys]).slice(1)) == whole).all()
    assert (key_hashes(pa.array(keys, pa.large_string())) == whole).all()
    assert len(np.unique(whole)) == len(keys)
    assert len(key_hashes(pa.array([], pa.string()))) == 0


def test_keys_that_look_alike_are_told_apart() -> None:
    keys = ["", "a", "b", "aa", "ab", "ba", "\0", "\0\0", "é", "e\u0301"]
    assert len(np.unique(key_hashes(pa.array(keys)))) == len(keys)


def test_the_same_key_at_another_offset_is_another_row() -> None:
    one, other, third = own(["a", "a", "b"], [7, 8, 7]).tolist()
    assert len({one, other, third}) == 3


def test_digests_of_sets_add_up() -> None:
    rows = own([f"e{n}" for n in range(1000)], range(1000))
    shuffled = np.random.default_rng(5).permutation(rows)
    assert joined(digest(shuffled[:400]), digest(shuffled[400:])) == digest(rows)
    assert digest(rows[1:]) != digest(rows)


# -- proven ----------------------------------------------------------------------------------------


def table(*rows: tuple[str, str, int]) -> pa.Table:
    """(event, store, hour), each at the offset of its place."""
    events, stores, hours = zip(*rows, strict=True)
    return pa.table({
        "store": list(stores),
        "window_start": pa.array([hour * HOUR for hour in hours], pa.int64()),
        IDENTITY: pa.array(own(events, range(len(events)))),
    })  # fmt: skip


def value(rows: pa.Table, store: str, hour: int, *values: str | None) -> WindowValue:
    """Of those of the rows that are of this window."""
    chosen = [
        number
        for number, (of, start) in enumerate(
            zip(rows["store"].to_pylist(), rows["window_start"].to_pylist(), strict=True)
        )
        if (of, start) == (store, hour * HOUR)
    ]
    kept = rows[IDENTITY].to_numpy()[chosen]
    return WindowValue((store,), hour * HOUR, len(kept), digest(kept), values)


ROWS = table(("a", "main", 9), ("b", "main", 9), ("c", "north", 9), ("d", "main", 10))


def test_what_is_of_all_rows_is_taken() -> None:
    values = [
        value(ROWS, "main", 9, "2", "3.50"), value(ROWS, "north", 9, "1", None),
        value(ROWS, "main", 10, "1", "0.00"),
    ]  # fmt: skip
    known, others = proven(values, ROWS, WINDOW)
    assert others.num_rows == 0
    assert known is not None
    nine = datetime(1970, 1, 1, 9, tzinfo=UTC)
    found = sorted(tuple(map(str, row.values())) for row in known.to_pylist())
    ten, eleven = nine + timedelta(hours=1), nine + timedelta(hours=2)
    assert found == [
        ("main", str(nine), str(ten), "2", "3.50"),
        ("main", str(ten), str(eleven), "1", "0.00"),
        ("north", str(nine), str(ten), "1", "None"),
    ]


def test_of_several_the_one_of_these_rows_is_taken() -> None:
    first = value(ROWS.slice(0, 1), "main", 9, "1", "1.00")
    whole = value(ROWS, "main", 9, "2", "3.50")
    rows = ROWS.slice(0, 2)
    for values in ([first, whole], [whole, first]):
        known, others = proven(values, rows, WINDOW)
        assert known is not None
        assert (known["lines"].to_pylist(), others.num_rows) == ([2], 0)


@pytest.mark.parametrize("rows", [
    ROWS.slice(0, 1),  # silver lacks a row: it left it out as a repeat
    table(("a", "main", 9), ("b", "main", 9), ("late", "main", 9)),  # Flink lacks one
    table(("a", "main", 9), ("x", "main", 9)),  # as many, but others
    table(("x", "north", 9), ("a", "main", 9), ("b", "main", 9)),  # at other offsets
])  # fmt: skip
def test_what_is_of_other_rows_is_not(rows: pa.Table) -> None:
    known, others = proven([value(ROWS, "main", 9, "2", "3.50")], rows, WINDOW)
    assert known is None
    assert others.equals(rows)


def test_other_windows_are_not_lost_for_one() -> None:
    values = [value(ROWS, "main", 9, "2", "3.50"), value(ROWS, "main", 10, "1", "0.00")]
    known, others = proven(values, ROWS, WINDOW)  # of north at nine nothing is known
    assert known is not None
    assert [(row["store"], row["window_start"].hour) for row in known.to_pylist()] == [
        ("main", 9), ("main", 10),
    ]  # fmt: skip
    assert others.equals(ROWS.slice(2, 1))


def test_without_values_all_is_computed() -> None:
    known, others = proven([], ROWS, WINDOW)
    assert (known, others) == (None, ROWS)
