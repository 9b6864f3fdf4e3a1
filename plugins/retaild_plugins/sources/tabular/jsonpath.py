"""Values out of JSON texts, all rows at once."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild_plugins.sources.tabular.sql import connection, literal


def path_of(column: str) -> str:
    """A column's name is a key of the object; one that begins with `$.` is a JSONPath."""
    if column.startswith("$."):
        return column
    escaped = column.replace('"', '\\"')
    return f'$."{escaped}"'


def extract(lines: pa.Array, columns: Sequence[str]) -> tuple[pa.Table, NDArray[np.bool_]]:
    """A text column per name for the lines that are objects, and which lines those are."""
    rows = pa.table({"line": lines})
    valid = connection().from_arrow(rows).project("json_valid(line) AS valid").to_arrow_table()
    good = valid.column("valid").to_numpy().astype(bool)
    rows = rows.filter(pa.array(good))
    kind = connection().from_arrow(rows).project("json_type(line) = 'OBJECT' AS object")
    objects = kind.to_arrow_table().column("object").to_numpy().astype(bool)
    rows = rows.filter(pa.array(objects))
    good[np.flatnonzero(good)] = objects
    paths = ", ".join(literal(path_of(name)) for name in columns)
    found = connection().from_arrow(rows).project(f"json_extract_string(line, [{paths}]) AS v")
    try:
        values = found.to_arrow_table().column("v").combine_chunks()
    except duckdb.Error:
        raise ValueError("The paths under `columns` are not JSONPath.") from None
    flat = values.flatten() if isinstance(values, pa.ListArray) else pc.list_flatten(values)
    width = max(len(columns), 1)
    table = {
        name: flat.take(pa.array(np.arange(i, len(flat), width))) for i, name in enumerate(columns)
    }
    return pa.table(table), good
