"""Windows' values that an engine has computed: taken where they are of the very rows of silver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild.pipeline.steps import Window, arrow_type
from retaild.pipeline.window_values import IDENTITY, WindowValue

_START = "window_start"


@dataclass(slots=True)
class WindowCounts:
    """How often a window was written with the engine's value, and how often computed here."""

    given: int = 0
    computed: int = 0


def proven(
    values: Sequence[WindowValue], rows: pa.Table, window: Window
) -> tuple[pa.Table | None, pa.Table]:
    """The windows, as `Sql.windows` gives them, of which a value is of exactly their `rows`; and
    the rows of the others.

    `rows` has the keys, window_start (int64, epoch us) and IDENTITY.
    """
    if not values or not rows.num_rows:
        return None, rows
    by_set = {(v.keys, v.start, v.rows, v.digest): v.values for v in values}
    first, inverse, counts = _windows(rows, window)
    sums = np.zeros(len(first), np.uint64)
    np.add.at(sums, inverse, rows[IDENTITY].to_numpy())
    heads = rows.select([*window.keys, _START]).take(pa.array(first))
    texts = [heads[key].cast(pa.string()).to_pylist() for key in window.keys]
    keys = zip(*texts, strict=True) if texts else iter([()] * len(first))
    sets = zip(keys, heads[_START].to_pylist(), counts.tolist(), sums.tolist(), strict=True)
    found = [by_set.get(of) for of in sets]
    taken = np.array([value is not None for value in found])
    if not taken.any():
        return None, rows
    known = heads.filter(pa.array(taken))
    table = _table(known, [value for value in found if value is not None], window)
    return table, rows.filter(pa.array(~taken[inverse]))


def _windows(
    rows: pa.Table, window: Window
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each window and keys its first row and how many it has; for each row, which is its."""
    _, codes = np.unique(rows[_START].to_numpy(), return_inverse=True)
    for key in window.keys:
        own = rows[key].combine_chunks().dictionary_encode(null_encoding="encode")
        codes = codes * len(own.dictionary) + own.indices.to_numpy()
    _, first, inverse, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    return first, inverse.reshape(-1), counts


def _table(heads: pa.Table, values: Sequence[tuple[str | None, ...]], window: Window) -> pa.Table:
    moment = arrow_type("TIMESTAMP")
    columns = {key: heads[key] for key in window.keys}
    columns[_START] = heads[_START].cast(moment)
    size = window.size // timedelta(microseconds=1)
    columns["window_end"] = pc.add(heads[_START], size).cast(moment)
    for place, column in enumerate(window.aggregates):
        texts = pa.chunked_array([[own[place] for own in values]], pa.string())
        columns[column.name] = texts.cast(arrow_type(column.type))
    return pa.table(columns)
